// What the operating system says about this process.
#pragma once

#include <cstdint>

namespace damask::report {

// The largest resident set so far (VmHWM), the mapped model file included; 0 where the system does not say.
uint64_t PeakResidentBytes();

}  // namespace damask::report
