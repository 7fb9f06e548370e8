// How many threads to start when nobody says: see DefaultThreadCount in base/thread_pool.h.
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/thread_pool.h"

namespace damask {
namespace {

// The line "200000 100000" of a control group (v2) grants two processors' worth of time; "max 100000" has no quota: 0.
size_t QuotaOf(const std::string& cpu_max) {
  uint64_t quota = 0;
  uint64_t period = 0;
  const char* const end = cpu_max.data() + cpu_max.size();
  const auto first = std::from_chars(cpu_max.data(), end, quota);
  if (first.ec != std::errc() || first.ptr == end) return 0;
  const auto second = std::from_chars(first.ptr + 1, end, period);
  if (second.ec != std::errc() || period == 0) return 0;
  return std::max<size_t>(1, quota / period);
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Two hardware threads of one core share its multipliers: count cores, told apart by their list of siblings.
size_t AllowedCores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return std::thread::hardware_concurrency();
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string siblings = FirstLine(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    cores.insert(siblings.empty() ? fmt::format("cpu{}", cpu) : siblings);
  }
  return cores.size();
}

}  // namespace

size_t DefaultThreadCount() {
  size_t count = AllowedCores();
  // In a container the root of the file system is the container's own group; outside it has no such file.
  if (const size_t quota = QuotaOf(FirstLine("/sys/fs/cgroup/cpu.max")); quota != 0) count = std::min(count, quota);
  return std::clamp<size_t>(count, 1, limits::kMaxThreads);
}

}  // namespace damask
