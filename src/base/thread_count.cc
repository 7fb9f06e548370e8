// How many threads to start when nobody says: see DefaultThreadCount in base/thread_pool.h.
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "base/control_group.h"
#include "base/limits.h"
#include "base/thread_pool.h"

namespace damask {
namespace {

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

size_t DefaultThreadCount() { return std::clamp<size_t>(std::min(AllowedCores(), ProcessorQuota()), 1, limits::kMaxThreads); }

}  // namespace damask
