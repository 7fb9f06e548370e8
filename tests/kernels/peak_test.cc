// What peaks are measured by; how fast it is, is no matter of a test.
#include "kernels/peak_loops.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

TEST(PeakLoops, Float32IsMeasuredInTheWidestRegistersOfTheTarget) {
  EXPECT_EQ(LoopsOf(Target::kScalar).fma_f32.run, generic::FmaLoop);
  EXPECT_EQ(LoopsOf(Target::kAvx2).fma_f32.run, avx2::FmaLoop);
  for (const Target target : {Target::kAvx512, Target::kAvx512Vnni, Target::kAvx512Bf16, Target::kAmx}) {
    EXPECT_EQ(LoopsOf(target).fma_f32.run, avx512::FmaLoop) << TargetName(target);
  }
}

TEST(PeakLoops, RunOnTheirTargetsAndCountEveryRound) {
  for (const Target target : SupportedTargets()) {
    const PeakLoops loops = LoopsOf(target);
    EXPECT_NE(loops.fma_f32.run, nullptr);
    for (const ArithmeticLoop& loop : {loops.fma_f32, loops.dot_bf16, loops.dot_int8, loops.dot_int16, loops.tile_bf16}) {
      if (loop.run == nullptr) continue;
      EXPECT_GT(loop.run(1), 0.0) << TargetName(target);
      EXPECT_EQ(loop.run(6), 6 * loop.run(1)) << TargetName(target);
    }
  }
}

TEST(PeakLoops, EveryByteThatIsReadIsInTheChecksum) {
  constexpr size_t kBytes = 1024;
  for (const Target target : SupportedTargets()) {
    std::vector<std::byte> data(kBytes);
    EXPECT_EQ(LoopsOf(target).read(data.data(), kBytes), 0u);
    for (size_t i = 0; i < kBytes; ++i) {
      data[i] = std::byte{1};
      EXPECT_NE(LoopsOf(target).read(data.data(), kBytes), 0u) << TargetName(target) << " " << i;
      data[i] = std::byte{0};
    }
  }
}

}  // namespace
}  // namespace damask::kernels
