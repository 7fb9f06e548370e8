// Kernels are tested on every target of the machine, tiles included: those a process has to ask the system for, and without an
// engine nobody does.
#include "base/cpu.h"

namespace {

[[maybe_unused]] const bool kGranted = damask::EnableTarget(damask::Target::kAmx).ok();

}  // namespace
