#include "base/memory.h"

#include <fstream>
#include <string>

namespace damask {

uint64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  uint64_t kilobytes = 0;
  std::string unit;
  while (file >> key >> kilobytes && std::getline(file, unit)) {
    if (key == "MemAvailable:") return kilobytes << 10;
  }
  return UINT64_MAX;
}

}  // namespace damask
