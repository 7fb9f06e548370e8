// What this CPU can do, and which of damask's kernel targets follow from it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace damask {

// Kernel targets in order of preference, the plainest first. A target includes all before it.
enum class Target {
  kScalar,      // plain C++ in float32: the reference
  kAvx2,        // AVX2 + FMA + F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL (Skylake-X on)
  kAvx512Vnni,  // and VNNI (Cascade Lake, Ice Lake on)
  kAvx512Bf16,  // and BF16 (Cooper Lake, Zen 4 on)
  kAmx,         // and AVX-512 VBMI and AMX tiles in bf16 and int8 (Sapphire Rapids on): EnableTarget
};

std::string_view TargetName(Target target);  // "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx"

// All names, for help texts and errors.
const std::vector<Target>& AllTargets();

// Whether CPU and system have what the target's kernels need. Asks for nothing; cached, thread-safe.
bool CpuHas(Target target);

// Makes the target's kernels ready to run in this process. Only kAmx needs it: Linux hands out tiles on request, to the whole
// process and for good, and refuses signal stacks (sigaltstack) that are too small for them from then on. Unsupported where
// CPU or system refuse; thread-safe, and free when it was done before.
Status EnableTarget(Target target);

// Whether the target's kernels may run now: kAmx only behind EnableTarget.
bool TargetSupported(Target target);

// The best target that may run now.
Target BestTarget();

// "" and "auto" give the best target that the CPU has; an unknown name or a target this CPU lacks is InvalidArgument listing
// the choices. Asks for nothing: who runs kernels takes PrepareTarget.
Result<Target> ParseTarget(std::string_view name);

// The same, made ready. Where the system refuses tiles, "" and "auto" give the next target with a warning, and a name is
// Unsupported.
Result<Target> PrepareTarget(std::string_view name);

// "AMD EPYC 9654" and the like; "unknown" where the system does not say.
std::string CpuModelName();

}  // namespace damask
