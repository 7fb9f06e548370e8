#include "base/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>

namespace damask {
namespace {

// A file of one number; nothing where it is missing or says "max".
std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  file >> text;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The number behind `key` in a file of lines "key number".
std::optional<uint64_t> ReadField(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  uint64_t number = 0;
  std::string rest;
  while (file >> name >> number) {
    if (name == key) return number;
    std::getline(file, rest);
  }
  return std::nullopt;
}

// Of version 2, as /proc/self/cgroup has it: "0::/user.slice/some.scope". A group inside a container that sees only itself is
// "/".
std::string OwnGroup(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("0::/", 0) == 0) return line.substr(3);
  }
  return "/";
}

// What the limit of the group in `folder` leaves. memory.current counts file pages that nobody has asked for lately; the kernel
// takes those back before it refuses memory.
uint64_t LeftInGroup(const std::string& folder) {
  const std::optional<uint64_t> limit = ReadNumber(folder + "/memory.max");
  if (!limit) return UINT64_MAX;
  const uint64_t used = ReadNumber(folder + "/memory.current").value_or(0);
  const uint64_t given_back = std::min(used, ReadField(folder + "/memory.stat", "inactive_file").value_or(0));
  return *limit - std::min(*limit, used - given_back);
}

// A group's limit holds for all groups below it. In a container the root of the file system is the container's own group,
// whatever the process's group is called outside.
uint64_t LeftInGroups(const std::string& root) {
  std::string group = OwnGroup(root);
  uint64_t left = UINT64_MAX;
  while (true) {
    left = std::min(left, LeftInGroup(root + "/sys/fs/cgroup" + group));
    if (group.empty() || group == "/") return left;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

uint64_t AvailableMemory(const std::string& root) {
  const std::optional<uint64_t> kilobytes = ReadField(root + "/proc/meminfo", "MemAvailable:");
  return std::min(kilobytes ? *kilobytes << 10 : UINT64_MAX, LeftInGroups(root));
}

}  // namespace damask
