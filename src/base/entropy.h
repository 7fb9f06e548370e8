// Numbers that differ from run to run.
#pragma once

#include <cstdint>

namespace damask {

// 64 random bits of the system's source; of the clock where it has none. Throws nothing. Not for secrets. A seed that people
// are told takes the lower half: short to copy, and exact in every JSON reader.
uint64_t RandomSeed();

}  // namespace damask
