#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

TEST(RmsNorm, DividesByTheRootMeanSquareAndScales) {
  for (const Target target : SupportedTargets()) {
    for (const size_t n : {1, 7, 8, 31, 64, 100, 2048}) {
      const std::vector<float> x = RandomFloats(n, 1);
      const std::vector<float> weight = RandomFloats(n, 2);
      std::vector<float> out(n + 1, 9.0f);
      RmsNorm(target, x.data(), weight.data(), 1e-5f, n, out.data());
      double sum = 0;
      for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
      const double root = std::sqrt(sum / static_cast<double>(n) + 1e-5);
      for (size_t i = 0; i < n; ++i) {
        const double expected = static_cast<double>(x[i]) / root * static_cast<double>(weight[i]);
        ASSERT_NEAR(expected, static_cast<double>(out[i]), 2e-6 * (1 + std::abs(expected))) << TargetName(target) << " n " << n;
      }
      ASSERT_EQ(9.0f, out[n]) << "written beyond the row";
    }
  }
}

TEST(RmsNorm, MayWriteOverItsInput) {
  for (const Target target : SupportedTargets()) {
    std::vector<float> x = RandomFloats(77, 3);
    const std::vector<float> weight = RandomFloats(77, 4);
    std::vector<float> out(77);
    RmsNorm(target, x.data(), weight.data(), 1e-6f, 77, out.data());
    RmsNorm(target, x.data(), weight.data(), 1e-6f, 77, x.data());
    EXPECT_EQ(out, x);
  }
}

TEST(RmsNorm, ARowOfZerosStaysZeros) {
  for (const Target target : SupportedTargets()) {
    const std::vector<float> x(20, 0.0f);
    std::vector<float> out(20, 1.0f);
    RmsNorm(target, x.data(), RandomFloats(20, 1).data(), 1e-5f, 20, out.data());
    EXPECT_EQ(x, out);
  }
}

TEST(RmsNorm, SquaresBeyondFloat32StillCount) {
  for (const Target target : SupportedTargets()) {
    std::vector<float> x = RandomFloats(100, 5);
    for (float& value : x) value *= 1e25f;
    std::vector<float> small = RandomFloats(100, 5);
    const std::vector<float> weight = RandomFloats(100, 6);
    RmsNorm(target, x.data(), weight.data(), 0.0f, 100, x.data());
    RmsNorm(target, small.data(), weight.data(), 0.0f, 100, small.data());
    for (size_t i = 0; i < 100; ++i) ASSERT_NEAR(x[i], small[i], 1e-5f) << TargetName(target);
  }
}

struct RopeCase {
  RopeKind kind;
  size_t heads, head_dim, rotated_dims;
};

std::vector<float> CosSin(size_t pairs) {
  std::vector<float> values;
  for (size_t i = 0; i < pairs; ++i) {
    const double angle = 0.37 * static_cast<double>(i + 1);
    values.push_back(static_cast<float>(std::cos(angle)));
    values.push_back(static_cast<float>(std::sin(angle)));
  }
  return values;
}

TEST(Rope, TurnsEveryPairByItsAngleAndLeavesTheRest) {
  for (const Target target : SupportedTargets()) {
    for (const RopeKind kind : {RopeKind::kAdjacent, RopeKind::kHalves}) {
      for (const RopeCase& c :
           {RopeCase{kind, 3, 64, 64}, {kind, 2, 80, 80}, {kind, 1, 128, 96}, {kind, 2, 10, 6}, {kind, 1, 256, 256}}) {
        const std::vector<float> cos_sin = CosSin(c.rotated_dims / 2);
        const std::vector<float> before = RandomFloats(c.heads * c.head_dim, 5);
        std::vector<float> x = before;
        Rope(target, kind, x.data(), c.heads, c.head_dim, c.rotated_dims, cos_sin.data());
        std::vector<double> expected(before.begin(), before.end());
        for (size_t head = 0; head < c.heads; ++head) {
          for (size_t i = 0; i < c.rotated_dims / 2; ++i) {
            const size_t first = head * c.head_dim + (kind == RopeKind::kAdjacent ? 2 * i : i);
            const size_t second = first + (kind == RopeKind::kAdjacent ? 1 : c.rotated_dims / 2);
            const double a = before[first];
            const double b = before[second];
            expected[first] = a * cos_sin[2 * i] - b * cos_sin[2 * i + 1];
            expected[second] = a * cos_sin[2 * i + 1] + b * cos_sin[2 * i];
          }
        }
        for (size_t i = 0; i < x.size(); ++i) {
          ASSERT_NEAR(expected[i], static_cast<double>(x[i]), 2e-6)
              << TargetName(target) << " dims " << c.rotated_dims << " at " << i;
        }
      }
    }
  }
}

// By the definitions: silu(x) = x sigmoid(x), gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); gpt-oss cuts both sides
// off at 7 and adds 1 to what is gated.
double ExactGate(GateFunction function, double x, double up) {
  if (function == GateFunction::kSilu) return x / (1 + std::exp(-x)) * up;
  if (function == GateFunction::kGelu) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))) * up;
  }
  x = std::min(x, 7.0);
  return x / (1 + std::exp(-1.702 * x)) * (std::clamp(up, -7.0, 7.0) + 1);
}

class GateMulTest : public ::testing::TestWithParam<GateFunction> {};
INSTANTIATE_TEST_SUITE_P(Functions, GateMulTest,
                         ::testing::Values(GateFunction::kSilu, GateFunction::kGelu, GateFunction::kClamped));

TEST_P(GateMulTest, IsTheFunctionOfTheGateTimesUp) {
  for (const Target target : SupportedTargets()) {
    for (const size_t n : {1, 8, 15, 16, 17, 100, 333}) {
      std::vector<float> gate = RandomFloats(n, 6);
      for (float& value : gate) value *= 8;
      const std::vector<float> before = gate;
      std::vector<float> up = RandomFloats(n, 7);
      for (float& value : up) value *= 5;
      GateMul(target, GetParam(), gate.data(), up.data(), n);
      for (size_t i = 0; i < n; ++i) {
        // Far below 0 gelu is a small difference of large numbers: an error of the argument is one of the result's logarithm.
        // So is what is gated, near -1, of kClamped.
        const double expected = ExactGate(GetParam(), before[i], up[i]);
        ASSERT_NEAR(expected, static_cast<double>(gate[i]),
                    2e-5 * std::abs(expected) + (GetParam() == GateFunction::kClamped ? 2e-6 : 1e-12))
            << TargetName(target) << " gate " << before[i];
      }
    }
  }
}

TEST_P(GateMulTest, G19WhatIsNoNumberStaysNone) {
  for (const Target target : SupportedTargets()) {
    for (const size_t at : {0, 7, 20}) {
      for (const bool in_gate : {false, true}) {
        std::vector<float> gate(21, 1.0f);
        std::vector<float> up(21, 1.0f);
        (in_gate ? gate : up)[at] = std::numeric_limits<float>::quiet_NaN();
        GateMul(target, GetParam(), gate.data(), up.data(), gate.size());
        for (size_t i = 0; i < gate.size(); ++i) EXPECT_EQ(std::isnan(gate[i]), i == at) << TargetName(target) << " " << i;
      }
    }
  }
}

TEST_P(GateMulTest, TheEndsOfTheRangeGiveNoNan) {
  for (const Target target : SupportedTargets()) {
    std::vector<float> gate = {-1e4f, -200.0f, -88.0f, -60.0f, 0.0f, 60.0f, 200.0f, 1e4f, 1e30f, -1e30f};
    const std::vector<float> up(gate.size(), 1.0f);
    const std::vector<float> before = gate;
    GateMul(target, GetParam(), gate.data(), up.data(), gate.size());
    for (size_t i = 0; i < gate.size(); ++i) {
      const bool negative = before[i] < 0;
      const bool clamped = GetParam() == GateFunction::kClamped;
      const double large = clamped ? 2 * std::min(7.0, static_cast<double>(before[i])) : static_cast<double>(before[i]);
      ASSERT_NEAR(negative ? 0.0 : large, static_cast<double>(gate[i]), negative ? 1e-7 : (clamped ? 1e-5 : 1e-6) * large)
          << TargetName(target) << " gate " << before[i];
    }
  }
}

}  // namespace
}  // namespace damask::kernels
