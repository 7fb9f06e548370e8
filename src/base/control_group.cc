#include "base/control_group.h"

#include <algorithm>
#include <cstdint>
#include <fstream>

namespace damask {
namespace {

// As /proc/self/cgroup has it: "0::/user.slice/some.scope". A group inside a container that sees only itself is "/".
std::string OwnGroup(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return "/";
}

// "200000 100000" grants two processors' worth of time; "max 100000" has no limit.
size_t QuotaOf(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  uint64_t quota = 0;
  uint64_t period = 0;
  if (!(file >> quota >> period) || period == 0) return SIZE_MAX;
  return std::max<size_t>(1, quota / period);
}

}  // namespace

std::vector<std::string> ControlGroups(const std::string& root) {
  std::vector<std::string> folders;
  std::string group = OwnGroup(root);
  while (true) {
    folders.push_back(root + "/sys/fs/cgroup" + group);
    if (group.empty() || group == "/") return folders;
    group.resize(group.rfind('/'));
  }
}

size_t ProcessorQuota(const std::string& root) {
  size_t quota = SIZE_MAX;
  for (const std::string& folder : ControlGroups(root)) quota = std::min(quota, QuotaOf(folder));
  return quota;
}

}  // namespace damask
