// BAD_INPUT P09: disk full, read-only directory, killed while writing. Each in a process of its own.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "tests/batching/prefix_store_fixture.h"
#include "tests/end_with_parent.h"

namespace damask::batching::test {
namespace {

// The rest of a child's life: an exception ends it too, and does not run the other tests there.
template <typename Body>
[[noreturn]] void RunAsChild(pid_t parent, const Body& body) noexcept {
  damask::test::EndWithParent(parent);
  _exit(body());
}

// What `body` returns in a child; -1 where it ended otherwise. No store is open while this process forks.
int InChild(const std::function<int()>& body) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) RunAsChild(parent, body);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// 0 where a write of `second` fails with one warning, twice, and `first` is still there.
int FailsToWrite(PrefixStore* store, std::vector<std::string>* warnings, const std::function<void(uint32_t seed)>& read,
                 const std::function<int(uint32_t seed)>& restored) {
  for (const uint32_t seed : {2, 3}) {
    read(seed);
    if (restored(seed) != 0) return 1;
  }
  if (warnings->size() != 1) return 2;
  if (restored(1) != 3) return 3;
  return store->stats().bad_files == 0 ? 0 : 4;
}

TEST_F(PrefixStoreTest, P09AFullDiskCostsOneWarningAndNoFile) {
  Read(OpenDisk().get(), Text(3, 1), 3);
  const uint64_t before = BytesOnDisk();
  const int code = InChild([&] {
    const auto store = OpenDisk();
    const rlimit limit = {20000, 20000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 10;
    return FailsToWrite(
        store.get(), &warnings_, [&](uint32_t seed) { Read(store.get(), Text(3, seed), 3); },
        [&](uint32_t seed) { return Restored(store.get(), Text(3, seed)); });
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(BytesOnDisk(), before);
}

TEST_F(PrefixStoreTest, P09AReadOnlyDirectoryCostsOneWarningAndIsStillRead) {
  Read(OpenDisk().get(), Text(3, 1), 3);
  std::filesystem::permissions(directory(), std::filesystem::perms(0555));
  for (const auto& file : Files()) std::filesystem::permissions(file, std::filesystem::perms(0644));
  const int code = InChild([&] {
    const auto store = OpenDisk();
    constexpr uid_t kNobody = 65534;  // root writes everywhere
    if (geteuid() == 0 && seteuid(kNobody) != 0) return 10;
    return FailsToWrite(
        store.get(), &warnings_, [&](uint32_t seed) { Read(store.get(), Text(3, seed), 3); },
        [&](uint32_t seed) { return Restored(store.get(), Text(3, seed)); });
  });
  std::filesystem::permissions(directory(), std::filesystem::perms(0755));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Files().size(), 1u);
}

// A process that keeps one text after the other until it is killed, some time after its first write has begun.
void KillAWriter(const std::function<void(int ready)>& body, uint32_t microseconds) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    RunAsChild(parent, [&] {
      body(ready[1]);
      return 0;
    });
  }
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  usleep(microseconds);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(PrefixStoreTest, P09KilledWhileWritingNothingHalfWrittenIsEverUsed) {
  constexpr int kMinRounds = 15;
  constexpr int kMaxRounds = 400;
  constexpr uint32_t kTexts = 40;
  std::mt19937 random(11);
  int leftovers = 0;
  int restored = 0;
  // Until a process was seen to die in the middle of a write: its temporary lies there.
  for (int round = 0; round < kMinRounds || (round < kMaxRounds && (leftovers == 0 || restored == 0)); ++round) {
    KillAWriter(
        [&](int ready) {
          const auto store = Open({.memory_bytes = 0, .directory = directory(), .disk_bytes = 40 * kBlockBytes});
          for (uint32_t step = 0;; ++step) {
            const auto prompt = Text(6, static_cast<uint32_t>(round) + step % kTexts);
            model::KvCache cache(SmallConfig(), &pool_);
            Prefill(prompt, 6, &cache);
            store->Keep(prompt, cache, cache.length());
            if (step % 4 == 3) store->Flush();  // what waits to be written stays little, however slow the machine
            if (step == 0 && write(ready, "x", 1) != 1) return;
          }
        },
        random() % 5000);
    for (const auto& entry : std::filesystem::directory_iterator(directory())) leftovers += entry.path().extension() == ".part";
    const auto store = OpenDisk();
    for (uint32_t text = 0; text < kTexts; ++text) {
      const int blocks = Restored(store.get(), Text(6, static_cast<uint32_t>(round) + text));
      ASSERT_TRUE(blocks == 0 || blocks == 6) << blocks;
      restored += blocks;
    }
    ASSERT_EQ(store->stats().bad_files, 0u);
    ASSERT_EQ(store->stats().disk_bytes, BytesOnDisk());  // leftovers are gone
    ASSERT_LE(BytesOnDisk(), 40 * kBlockBytes);
  }
  EXPECT_GT(leftovers, 0);
  EXPECT_GT(restored, 0);
}

}  // namespace
}  // namespace damask::batching::test
