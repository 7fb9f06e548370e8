#include "base/cpu.h"

#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/text.h"

namespace damask {
namespace {

#if defined(__x86_64__)

// clang 16 knows no "f16c" in __builtin_cpu_supports: leaf 1 says it. Whether the system saves its registers is AVX2's
// question.
bool CpuHasF16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
}

// Nor GCC 12 "amx-bf16": leaf 7.
bool CpuHasAmx() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kBf16 = 1u << 22;
  constexpr unsigned kTile = 1u << 24;
  constexpr unsigned kInt8 = 1u << 25;
  return (edx & (kBf16 | kTile | kInt8)) == (kBf16 | kTile | kInt8);
}

// Linux grants the 8 KiB of tile state once per process, before the threads that use it start.
bool KernelGrantsTiles() {
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kXfeatureXtiledata = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

Target Detect() {
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && CpuHasF16c())) {
    return Target::kScalar;
  }
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))) {
    return Target::kAvx2;
  }
  if (!__builtin_cpu_supports("avx512vnni")) return Target::kAvx512;
  if (!__builtin_cpu_supports("avx512bf16")) return Target::kAvx512Vnni;
  if (!(__builtin_cpu_supports("avx512vbmi") && CpuHasAmx() && KernelGrantsTiles())) return Target::kAvx512Bf16;
  return Target::kAmx;
}

#else

Target Detect() { return Target::kScalar; }

#endif

}  // namespace

std::string_view TargetName(Target target) {
  switch (target) {
    case Target::kScalar: return "scalar";
    case Target::kAvx2: return "avx2";
    case Target::kAvx512: return "avx512";
    case Target::kAvx512Vnni: return "avx512vnni";
    case Target::kAvx512Bf16: return "avx512bf16";
    case Target::kAmx: return "amx";
  }
  return "unknown";
}

const std::vector<Target>& AllTargets() {
  static const std::vector<Target> targets = {Target::kScalar,     Target::kAvx2,       Target::kAvx512,
                                              Target::kAvx512Vnni, Target::kAvx512Bf16, Target::kAmx};
  return targets;
}

Target BestTarget() {
  static const Target best = Detect();
  return best;
}

bool TargetSupported(Target target) { return target <= BestTarget(); }

Result<Target> ParseTarget(std::string_view name) {
  if (name.empty() || name == "auto") return BestTarget();
  std::vector<std::string_view> usable;
  for (const Target target : AllTargets()) {
    if (TargetSupported(target)) usable.push_back(TargetName(target));
  }
  for (const Target target : AllTargets()) {
    if (TargetName(target) != name) continue;
    if (TargetSupported(target)) return target;
    return InvalidArgument(fmt::format("target {} is not supported by this CPU; it has {}", name, fmt::join(usable, ", ")));
  }
  return InvalidArgument(fmt::format("unknown target {}; this CPU has {}", Quote(name), fmt::join(usable, ", ")));
}

std::string CpuModelName() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace damask
