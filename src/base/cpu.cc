#include "base/cpu.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/log.h"
#include "base/text.h"

namespace damask {
namespace {

std::atomic<bool> tiles_granted{false};

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

// Whether the system saves tiles at all: both bits of XCR0. Only where the CPU has AVX-512, whose check asks for XGETBV.
bool SystemSavesTiles() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr uint32_t kTiles = 3u << 17;
  return (low & kTiles) == kTiles;
}

// Linux grants the 8 KiB of tile state to the process as a whole, from now on.
Status AskForTiles() {
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kXfeatureXtiledata = 18;
  if (syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0) return {};
  const int error = errno;
  return Unsupported(fmt::format("the system grants this process no AMX tiles: {}",
                                 error == ENOSPC ? "a thread's signal stack has no room for them" : std::strerror(error)));
}

// What every CPU with AVX-512 has, and the Highway body is compiled for; a hypervisor may hide single ones.
bool CpuHasWhatCameAlong() {
  return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("pclmul");
}

Target Detect() {
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && CpuHasF16c())) {
    return Target::kScalar;
  }
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && CpuHasWhatCameAlong())) {
    return Target::kAvx2;
  }
  if (!__builtin_cpu_supports("avx512vnni")) return Target::kAvx512;
  if (!__builtin_cpu_supports("avx512bf16")) return Target::kAvx512Vnni;
  if (!(__builtin_cpu_supports("avx512vbmi") && CpuHasAmx() && SystemSavesTiles())) return Target::kAvx512Bf16;
  return Target::kAmx;
}

#else

Target Detect() { return Target::kScalar; }

Status AskForTiles() { return Unsupported("this CPU has no tiles"); }

#endif

Target BestOfCpu() {
  static const Target best = Detect();
  return best;
}

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

bool CpuHas(Target target) { return target <= BestOfCpu(); }

Status EnableTarget(Target target) {
  if (!CpuHas(target)) return Unsupported(fmt::format("target {} is not supported by this CPU", TargetName(target)));
  if (target != Target::kAmx || tiles_granted.load()) return {};
  DAMASK_RETURN_IF_ERROR(AskForTiles());
  tiles_granted.store(true);
  return {};
}

bool TargetSupported(Target target) { return CpuHas(target) && (target != Target::kAmx || tiles_granted.load()); }

Target BestTarget() { return TargetSupported(BestOfCpu()) ? BestOfCpu() : Target::kAvx512Bf16; }

Result<Target> ParseTarget(std::string_view name) {
  if (name.empty() || name == "auto") return BestOfCpu();
  std::vector<std::string_view> usable;
  for (const Target target : AllTargets()) {
    if (CpuHas(target)) usable.push_back(TargetName(target));
  }
  for (const Target target : AllTargets()) {
    if (TargetName(target) != name) continue;
    if (CpuHas(target)) return target;
    return InvalidArgument(fmt::format("target {} is not supported by this CPU; it has {}", name, fmt::join(usable, ", ")));
  }
  return InvalidArgument(fmt::format("unknown target {}; this CPU has {}", Quote(name), fmt::join(usable, ", ")));
}

Result<Target> PrepareTarget(std::string_view name) {
  DAMASK_ASSIGN_OR_RETURN(const Target target, ParseTarget(name));
  const Status enabled = EnableTarget(target);
  if (enabled.ok()) return target;
  if (name == TargetName(target)) return enabled;  // asked for by name: nothing else will do
  LogWarning(fmt::format("{}; the kernels of {} are used", enabled.message(), TargetName(BestTarget())));
  return BestTarget();
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
