#include "base/cpu.h"

#include <gtest/gtest.h>

namespace damask {
namespace {

TEST(Target, EmptyAndAutoGiveTheBestOne) {
  EXPECT_EQ(ParseTarget("").value(), BestTarget());
  EXPECT_EQ(ParseTarget("auto").value(), BestTarget());
}

TEST(Target, EveryCpuHasTheScalarOne) { EXPECT_EQ(ParseTarget("scalar").value(), Target::kScalar); }

TEST(Target, EveryNameGivesItsTargetOrAnErrorThatListsWhatTheCpuHas) {
  for (const Target target : AllTargets()) {
    const Result<Target> parsed = ParseTarget(TargetName(target));
    if (TargetSupported(target)) {
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
