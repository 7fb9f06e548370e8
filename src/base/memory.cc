#include "base/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>

#include "base/control_group.h"

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

// What the limit of the group in `folder` leaves. memory.current counts file pages that nobody has asked for lately; the kernel
// takes those back before it refuses memory.
uint64_t LeftInGroup(const std::string& folder) {
  const std::optional<uint64_t> limit = ReadNumber(folder + "/memory.max");
  if (!limit) return UINT64_MAX;
  const uint64_t used = ReadNumber(folder + "/memory.current").value_or(0);
  const uint64_t given_back = std::min(used, ReadField(folder + "/memory.stat", "inactive_file").value_or(0));
  return *limit - std::min(*limit, used - given_back);
}

}  // namespace

uint64_t AvailableMemory(const std::string& root) {
  const std::optional<uint64_t> kilobytes = ReadField(root + "/proc/meminfo", "MemAvailable:");
  uint64_t left = kilobytes ? *kilobytes << 10 : UINT64_MAX;
  for (const std::string& folder : ControlGroups(root)) left = std::min(left, LeftInGroup(folder));
  return left;
}

}  // namespace damask
