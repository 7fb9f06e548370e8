// What memory the machine has left.
#pragma once

#include <cstdint>

namespace damask {

// Bytes that can still be used without swapping, as the system estimates them (Linux: MemAvailable); UINT64_MAX where it does
// not say.
uint64_t AvailableMemory();

}  // namespace damask
