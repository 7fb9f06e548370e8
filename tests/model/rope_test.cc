#include "model/rope.h"

#include <cmath>
#include <numbers>
#include <vector>

#include <gtest/gtest.h>

namespace damask::model {
namespace {

RopeConfig Plain() { return {.dims = 64, .base = 10000.0, .original_context = 4096}; }

// The angle of pair `i` at `position`, from (cos, sin).
double Angle(const RopeTable& table, uint64_t position, size_t pair) {
  std::vector<float> cs(table.dims());
  table.Fill(position, cs.data());
  return std::atan2(cs[2 * pair + 1], cs[2 * pair]);
}

double Magnitude(const RopeTable& table, size_t pair) {
  std::vector<float> cs(table.dims());
  table.Fill(1, cs.data());
  return std::hypot(cs[2 * pair], cs[2 * pair + 1]);
}

TEST(RopeTable, PlainAnglesAreGeometric) {
  const RopeTable table(Plain(), {});
  for (const size_t pair : {size_t{0}, size_t{5}, size_t{31}}) {
    EXPECT_NEAR(Angle(table, 1, pair), std::pow(10000.0, -2.0 * pair / 64.0), 1e-6) << pair;
  }
}

TEST(RopeTable, PositionZeroRotatesNothing) {
  const RopeTable table(Plain(), {});
  std::vector<float> cs(64);
  table.Fill(0, cs.data());
  for (size_t pair = 0; pair < 32; ++pair) {
    EXPECT_EQ(cs[2 * pair], 1.0f);
    EXPECT_EQ(cs[2 * pair + 1], 0.0f);
  }
}

TEST(RopeTable, FarPositionsKeepTheirPrecision) {
  // In float32 position x frequency would be off by 0.01 here.
  const RopeTable table(Plain(), {});
  const double exact = std::remainder(1'000'003.0, 2 * std::numbers::pi);
  EXPECT_NEAR(Angle(table, 1'000'003, 0), exact, 1e-5);
}

TEST(RopeTable, LinearScalingDividesEveryAngle) {
  RopeConfig config = Plain();
  config.scaling = RopeScaling::kLinear;
  config.factor = 4.0;
  const RopeTable scaled(config, {});
  const RopeTable plain(Plain(), {});
  for (size_t pair = 0; pair < 32; ++pair) EXPECT_NEAR(Angle(scaled, 4, pair), Angle(plain, 1, pair), 1e-6);
}

TEST(RopeTable, AFilesFactorsDivideTheAngles) {
  std::vector<float> factors(32, 1.0f);
  factors[3] = 8.0f;
  const RopeTable scaled(Plain(), factors);
  const RopeTable plain(Plain(), {});
  EXPECT_NEAR(Angle(scaled, 1, 2), Angle(plain, 1, 2), 1e-7);
  EXPECT_NEAR(Angle(scaled, 8, 3), Angle(plain, 1, 3), 1e-6);
}

TEST(RopeTable, Llama3KeepsShortWavesAndStretchesLongOnes) {
  RopeConfig config = Plain();
  config.scaling = RopeScaling::kLlama3;
  config.factor = 8.0;
  config.base = 500000.0;
  config.original_context = 8192;
  RopeConfig plain_config = config;
  plain_config.scaling = RopeScaling::kNone;
  const RopeTable scaled(config, {});
  const RopeTable plain(plain_config, {});
  EXPECT_NEAR(Angle(scaled, 1, 0), Angle(plain, 1, 0), 1e-7);          // wavelength 6.3 < 8192 / 4
  EXPECT_NEAR(Angle(scaled, 8000, 31), Angle(plain, 1000, 31), 1e-5);  // wavelength 2e6 > 8192
  // Pair 16: base^-0.5, wavelength 4443, between 2048 and 8192: smooth = (8192 / 4443 - 1) / 3.
  const double frequency = std::pow(500000.0, -0.5);
  const double smooth = (8192.0 * frequency / (2 * std::numbers::pi) - 1.0) / 3.0;
  EXPECT_NEAR(Angle(scaled, 1, 16), (1 - smooth) * frequency / 8.0 + smooth * frequency, 1e-7);
}

TEST(RopeTable, YarnInterpolatesLongWavesAndRaisesTheMagnitude) {
  RopeConfig config = Plain();
  config.scaling = RopeScaling::kYarn;
  config.factor = 4.0;
  const RopeTable scaled(config, {});
  const RopeTable plain(Plain(), {});
  EXPECT_NEAR(Angle(scaled, 1, 0), Angle(plain, 1, 0), 1e-6);
  EXPECT_NEAR(Angle(scaled, 400, 31), Angle(plain, 100, 31), 1e-5);
  EXPECT_NEAR(Magnitude(scaled, 7), 1.0 + 0.1 * std::log(4.0), 1e-6);
}

}  // namespace
}  // namespace damask::model
