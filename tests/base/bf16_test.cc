// Against conversions by definition in double, over all 16-bit values and around every rounding border.
#include "base/bf16.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace damask {
namespace {

// The value of a 16-bit float with that many exponent and mantissa bits, by the definition of the format.
double Value(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const double fraction = std::ldexp(static_cast<double>(bits & ((1u << mantissa_bits) - 1)), -mantissa_bits);
  if (exponent == (1 << exponent_bits) - 1) return fraction == 0 ? sign * HUGE_VAL : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1.0 + fraction, exponent - bias);
}

// All 16-bit patterns.
std::vector<uint32_t> AllBits() {
  std::vector<uint32_t> all;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) all.push_back(bits);
  return all;
}

TEST(Bf16, EveryValueBecomesTheFloatItStandsFor) {
  for (const uint32_t bits : AllBits()) {
    const double expected = Value(bits, 8, 7);
    const float got = ToFloat(bf16{static_cast<uint16_t>(bits)});
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(got, expected) << bits;
      ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << bits;
    }
  }
}

TEST(Bf16, EveryValueSurvivesTheWayToFloatAndBack) {
  for (const uint32_t bits : AllBits()) {
    const bf16 back = ToBf16(ToFloat(bf16{static_cast<uint16_t>(bits)}));
    if (std::isnan(Value(bits, 8, 7))) {
      ASSERT_TRUE(std::isnan(ToFloat(back))) << bits;
    } else {
      ASSERT_EQ(back.bits, bits);
    }
  }
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {  // every positive finite value but the largest, and its next
    const uint32_t low = bits << 16;
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(ToBf16(std::bit_cast<float>(low + 0x7fffu)).bits, bits);
    ASSERT_EQ(ToBf16(std::bit_cast<float>(low + 0x8000u)).bits, even);
    ASSERT_EQ(ToBf16(std::bit_cast<float>(low + 0x8001u)).bits, bits + 1);
    ASSERT_EQ(ToBf16(-std::bit_cast<float>(low + 0x8001u)).bits, (bits + 1) | 0x8000u);
  }
}

TEST(Bf16, WhatIsTooLargeBecomesInfinityAndANanStaysOne) {
  EXPECT_EQ(ToBf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(ToBf16(-std::numeric_limits<float>::infinity()).bits, 0xff80);
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0xffffffffu)))));
}

TEST(Half, EveryValueBecomesTheFloatItStandsFor) {
  for (const uint32_t bits : AllBits()) {
    const double expected = Value(bits, 5, 10);
    const float got = HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(got, expected) << bits;
      ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << bits;
    }
  }
}

TEST(Half, EveryValueSurvivesTheWayToFloatAndBack) {
  for (const uint32_t bits : AllBits()) {
    const uint16_t back = FloatToHalf(HalfToFloat(static_cast<uint16_t>(bits)));
    if (std::isnan(Value(bits, 5, 10))) {
      ASSERT_TRUE(std::isnan(HalfToFloat(back))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEvenSubnormalsIncluded) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {  // every positive finite value but the largest, and its next
    const double low = Value(bits, 5, 10);
    const double high = Value(bits + 1, 5, 10);
    const auto middle = static_cast<float>((low + high) / 2);  // exact: a half has 13 bits fewer than a float
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(FloatToHalf(middle), even);
    ASSERT_EQ(FloatToHalf(std::nextafterf(middle, 0.0f)), bits);
    ASSERT_EQ(FloatToHalf(std::nextafterf(middle, infinity)), bits + 1);
    ASSERT_EQ(FloatToHalf(-std::nextafterf(middle, infinity)), (bits + 1) | 0x8000u);
  }
}

TEST(Half, WhatIsTooLargeBecomesInfinityAndWhatIsTooSmallZero) {
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0x0000);
  EXPECT_EQ(FloatToHalf(0x1.000002p-25f), 0x0001);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0x0000);
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
}

}  // namespace
}  // namespace damask
