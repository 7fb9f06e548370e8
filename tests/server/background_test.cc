// Work on a few threads, and on fewer than were asked for.
#include "server/background.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <future>
#include <system_error>

#include <gtest/gtest.h>

namespace damask::server {
namespace {

// No more address space than there is now and `bytes` beside it: the stack of a thread takes 8 MiB of it.
void LimitAddressSpace(size_t bytes) {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t limit = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + bytes;
  const rlimit space = {limit, limit};
  if (setrlimit(RLIMIT_AS, &space) != 0) std::_Exit(9);
}

int WorksWithin(size_t bytes) {
  LimitAddressSpace(bytes);
  try {
    Background background(8);
    std::promise<void> done;
    background.Post([&] { done.set_value(); });
    done.get_future().wait();
    return 0;
  } catch (const std::system_error&) {
    return 3;
  }
}

TEST(Background, MakesDoWithTheThreadsThatThereAre) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's address space cannot be limited";
#endif
  EXPECT_EXIT(std::_Exit(WorksWithin(size_t{20} << 20)), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(std::_Exit(WorksWithin(size_t{2} << 20)), ::testing::ExitedWithCode(3), "");
}

}  // namespace
}  // namespace damask::server
