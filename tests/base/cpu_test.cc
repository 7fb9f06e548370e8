#include "base/cpu.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <vector>

#if defined(__x86_64__)
#include <sys/syscall.h>
#endif

#include <gtest/gtest.h>

#include "base/log.h"

namespace damask {
namespace {

// Whether Linux lets this process use tiles.
bool MayUseTiles() {
#if defined(__x86_64__)
  constexpr int kArchGetXcompPerm = 0x1022;
  uint64_t granted = 0;
  return syscall(SYS_arch_prctl, kArchGetXcompPerm, &granted) == 0 && (granted >> 18 & 1) != 0;
#else
  return false;
#endif
}

// What is asked for stays granted, so it is asked for in a process of its own, which says whether all was as it should be.
bool HoldsInAProcess(const std::function<bool()>& holds) {
  const pid_t child = fork();
  if (child == 0) std::_Exit(holds() ? 0 : 1);
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A stack as hosts have them that know of no tiles: Linux grants none while it is in use.
bool UseSmallSignalStack() {
  static std::vector<char> memory(8192);
  stack_t stack = {};
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  return sigaltstack(&stack, nullptr) == 0;
}

TEST(Target, EmptyAndAutoGiveTheBestOneThatTheCpuHas) {
  for (const char* name : {"", "auto"}) {
    const Target best = ParseTarget(name).value();
    EXPECT_TRUE(CpuHas(best));
    for (const Target target : AllTargets()) EXPECT_EQ(CpuHas(target), target <= best);
  }
}

TEST(Target, NobodyIsAskedForTilesBeforeTheyAreWanted) {
  EXPECT_TRUE(HoldsInAProcess([] {
    bool ok = !MayUseTiles();
    for (const Target target : AllTargets()) {
      (void)ParseTarget(TargetName(target)).ok();
      ok = ok && (target == Target::kAmx || PrepareTarget(TargetName(target)).ok() == CpuHas(target));
      ok = ok && TargetSupported(target) == (CpuHas(target) && target != Target::kAmx);
    }
    return ok && ParseTarget("auto").ok() && BestTarget() != Target::kAmx && !MayUseTiles() && UseSmallSignalStack();
  }));
}

TEST(Target, TilesAreThereOnceTheyWereAskedFor) {
  if (!CpuHas(Target::kAmx)) GTEST_SKIP() << "this CPU has no tiles";
  EXPECT_TRUE(HoldsInAProcess([] {
    return PrepareTarget("auto").value() == Target::kAmx && MayUseTiles() && TargetSupported(Target::kAmx) &&
           BestTarget() == Target::kAmx && EnableTarget(Target::kAmx).ok();
  }));
}

TEST(Target, WhereTilesAreRefusedTheNextTargetIsUsedAndAWarningSaysSo) {
  if (!CpuHas(Target::kAmx)) GTEST_SKIP() << "this CPU has no tiles";
  EXPECT_TRUE(HoldsInAProcess([] {
    if (!UseSmallSignalStack()) return false;
    std::string warning;
    SetLogSink([&](LogLevel, const std::string& message) { warning = message; });
    return PrepareTarget("auto").value() == Target::kAvx512Bf16 && BestTarget() == Target::kAvx512Bf16 &&
           PrepareTarget("amx").status().code() == StatusCode::kUnsupported &&
           warning ==
               "the system grants this process no AMX tiles: a thread's signal stack has no room for them; the kernels of "
               "avx512bf16 are used";
  }));
}

TEST(Target, WhatTheCpuHasCanBeMadeReadyAndNothingElse) {
  EXPECT_TRUE(HoldsInAProcess([] {
    for (const Target target : AllTargets()) {
      if ((EnableTarget(target).code() == StatusCode::kUnsupported) == CpuHas(target)) return false;
    }
    return true;
  }));
}

TEST(Target, EveryCpuHasTheScalarOne) { EXPECT_EQ(ParseTarget("scalar").value(), Target::kScalar); }

TEST(Target, EveryNameGivesItsTargetOrAnErrorThatListsWhatTheCpuHas) {
  for (const Target target : AllTargets()) {
    const Result<Target> parsed = ParseTarget(TargetName(target));
    if (CpuHas(target)) {
      EXPECT_EQ(parsed.value(), target);
    } else {
      EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
      EXPECT_NE(parsed.status().message().find("not supported by this CPU; it has scalar"), std::string::npos);
    }
  }
}

TEST(Target, ASupportedTargetMeansThatAllBeforeItAre) {
  bool supported = true;
  for (const Target target : AllTargets()) {
    EXPECT_TRUE(supported || !TargetSupported(target));
    supported = TargetSupported(target);
  }
}

TEST(Target, AnUnknownNameIsQuotedAndTheChoicesListed) {
  for (const char* name : {"avx", "AVX2", "scalar ", "\x1b[31m"}) {
    const Result<Target> parsed = ParseTarget(name);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(parsed.status().message().find("; this CPU has scalar"), std::string::npos);
    EXPECT_EQ(parsed.status().message().find('\x1b'), std::string::npos);
  }
}

TEST(Cpu, ItsNameIsOneLine) {
  EXPECT_FALSE(CpuModelName().empty());
  EXPECT_EQ(CpuModelName().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace damask
