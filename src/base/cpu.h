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
  kAmx,         // and AVX-512 VBMI and AMX tiles in bf16 (Sapphire Rapids on), granted by the kernel
};

std::string_view TargetName(Target target);  // "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx"

// All names, for help texts and errors.
const std::vector<Target>& AllTargets();

// The best target of this machine; asks Linux for the tile state on the first call. Cached, thread-safe.
Target BestTarget();

bool TargetSupported(Target target);

// "" and "auto" give BestTarget(); an unknown name or a target this CPU lacks is InvalidArgument listing the choices.
Result<Target> ParseTarget(std::string_view name);

// "AMD EPYC 9654" and the like; "unknown" where the system does not say.
std::string CpuModelName();

}  // namespace damask
