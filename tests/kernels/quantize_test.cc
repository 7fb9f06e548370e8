// The encoders against the scalar decoders: what one packs the other must unpack, within the step of the format.
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bf16.h"
#include "kernels/quant.h"

namespace damask::kernels {
namespace {

using formats::GetTensorType;
using formats::RowBytes;
using formats::TensorType;

struct Format {
  TensorType type;
  // Largest error over the largest magnitude of the block: half a step of its range (of signed types also what the side with
  // fewer steps cannot reach), and for the K and XS types the rounding of the 4 to 8-bit scales and minima.
  double block_error;
  // Root mean square error over that of the values, normally distributed.
  double mean_error;
};

const Format kFormats[] = {
    {TensorType::kF32, 0.0, 0.0},          {TensorType::kF16, 0.5 / 1024, 3e-4},  {TensorType::kBF16, 0.5 / 128, 2e-3},
    {TensorType::kQ8_0, 0.51 / 127, 6e-3}, {TensorType::kQ4_0, 1.01 / 8, 0.11},   {TensorType::kQ4_1, 1.02 / 15, 0.09},
    {TensorType::kQ5_0, 1.01 / 16, 0.055}, {TensorType::kQ5_1, 1.02 / 31, 0.045}, {TensorType::kQ4_K, 0.11, 0.1},
    {TensorType::kQ5_K, 0.07, 0.05},       {TensorType::kQ6_K, 0.04, 0.025},      {TensorType::kQ2_K, 0.37, 0.36},
    {TensorType::kQ3_K, 0.27, 0.17},       {TensorType::kIQ4_NL, 0.12, 0.09},     {TensorType::kIQ4_XS, 0.13, 0.09},
    {TensorType::kMXFP4, 0.26, 0.13},
};

std::vector<float> RoundTrip(TensorType type, const std::vector<float>& x) {
  std::vector<std::byte> bytes(RowBytes(type, x.size()));
  QuantizeRow(type, x.data(), x.size(), bytes.data());
  std::vector<float> out(x.size(), NAN);
  DequantizeRow(type, bytes.data(), x.size(), out.data());
  return out;
}

std::vector<float> NormalRow(size_t count, float scale, float mean, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

class QuantizeTest : public testing::TestWithParam<Format> {};

INSTANTIATE_TEST_SUITE_P(AllTypes, QuantizeTest, testing::ValuesIn(kFormats),
                         [](const auto& param) { return std::string(GetTensorType(param.param.type).name); });

TEST_P(QuantizeTest, EveryValueComesBackWithinTheStepOfItsBlock) {
  const Format& format = GetParam();
  for (const float mean : {0.0f, 3.0f, -3.0f}) {
    for (const float scale : {1e-3f, 1.0f, 100.0f}) {
      const std::vector<float> x = NormalRow(2048, scale, mean * scale, 7);
      const std::vector<float> y = RoundTrip(format.type, x);
      const size_t block = GetTensorType(format.type).block_values;
      for (size_t i = 0; i < x.size(); ++i) {
        float largest = 0.0f;
        for (size_t j = i / block * block; j < (i / block + 1) * block; ++j) largest = std::max(largest, std::fabs(x[j]));
        ASSERT_LE(std::fabs(y[i] - x[i]), format.block_error * largest + 1e-7f)
            << "value " << i << " scale " << scale << " mean " << mean;
      }
    }
  }
}

TEST_P(QuantizeTest, TheMeanErrorIsThatOfTheFormat) {
  const Format& format = GetParam();
  const std::vector<float> x = NormalRow(1 << 14, 0.02f, 0.0f, 11);
  const std::vector<float> y = RoundTrip(format.type, x);
  double error = 0.0, power = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (y[i] - x[i]) * (y[i] - x[i]);
    power += x[i] * x[i];
  }
  EXPECT_LE(std::sqrt(error / power), format.mean_error);
  if (format.mean_error > 0.0) {
    EXPECT_GE(std::sqrt(error / power), format.mean_error / 3);
  }
}

TEST_P(QuantizeTest, ZerosStayZeros) {
  for (const float y : RoundTrip(GetParam().type, std::vector<float>(512, 0.0f))) ASSERT_EQ(y, 0.0f);
}

TEST_P(QuantizeTest, EveryPositionOfABlockHasItsOwnBits) {
  // One value stands out at each place in turn: a packing that mixes places up moves it.
  const Format& format = GetParam();
  const size_t block = GetTensorType(format.type).block_values;
  for (size_t place = 0; place < block; ++place) {
    std::vector<float> x(2 * block, 0.0f);
    x[place] = 1.0f;
    x[2 * block - 1 - place] = -1.0f;
    const std::vector<float> y = RoundTrip(format.type, x);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(y[i], x[i], 0.06) << "outstanding value at " << place << ", read at " << i;
  }
}

TEST_P(QuantizeTest, ValuesTooSmallForAScaleBecomeNearlyZero) {
  for (const float y : RoundTrip(GetParam().type, std::vector<float>(512, 1e-12f))) ASSERT_LE(std::fabs(y), 1e-7f);
}

TEST(QuantizeLayoutTest, Q8_0HoldsAHalfScaleAndThirtyTwoBytes) {
  std::vector<float> x(32);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 16.0f;
  x[0] = 127.0f;  // the scale is 1
  std::vector<std::byte> bytes(34);
  QuantizeRow(TensorType::kQ8_0, x.data(), x.size(), bytes.data());
  uint16_t scale = 0;
  std::memcpy(&scale, bytes.data(), 2);
  EXPECT_EQ(HalfToFloat(scale), 1.0f);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(static_cast<int8_t>(bytes[2 + i]), static_cast<int8_t>(x[i]));
}

TEST(QuantizeLayoutTest, Q4_0HoldsTheSecondHalfInTheHighBits) {
  std::vector<float> x(32, 0.0f);
  x[0] = -8.0f;  // the scale is 1
  x[16] = 7.0f;
  x[1] = 3.0f;
  std::vector<std::byte> bytes(18);
  QuantizeRow(TensorType::kQ4_0, x.data(), x.size(), bytes.data());
  EXPECT_EQ(bytes[2], std::byte{0xf0});  // -8 + 8 below, 7 + 8 above
  EXPECT_EQ(bytes[3], std::byte{0x8b});  // 3 + 8 below, 0 + 8 above
  EXPECT_EQ(bytes[4], std::byte{0x88});
}

}  // namespace
}  // namespace damask::kernels
