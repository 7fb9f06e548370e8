// What memory is left for this process.
#pragma once

#include <cstdint>
#include <string>

namespace damask {

// Bytes that can still be used without swapping, as the system estimates them (Linux: MemAvailable), and within the memory
// limit of the process's control group (version 2) and those above it; UINT64_MAX where the system does not say. `root` stands
// before "/proc" and "/sys", for tests.
uint64_t AvailableMemory(const std::string& root = "");

}  // namespace damask
