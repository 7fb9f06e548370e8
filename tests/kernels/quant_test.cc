// Decoding of the block formats: blocks built by hand from the formats' definitions, and every target against the scalar
// reference.
#include "kernels/quant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "base/bf16.h"
#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

class BlockBuilder {
 public:
  BlockBuilder& Half(float value) {
    const uint16_t bits = FloatToHalf(value);
    return Byte(bits & 0xff).Byte(bits >> 8);
  }
  BlockBuilder& Byte(unsigned value) {
    bytes_.push_back(static_cast<std::byte>(value));
    return *this;
  }
  const std::byte* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

std::vector<float> Decode(TensorType type, const BlockBuilder& block, size_t values) {
  EXPECT_EQ(formats::RowBytes(type, values), block.size());
  std::vector<float> out(values);
  DequantizeRow(type, block.data(), values, out.data());
  return out;
}

TEST(Dequantize, Q8_0IsScaleTimesSignedByte) {
  BlockBuilder block;
  block.Half(0.5f);
  for (int i = 0; i < 32; ++i) block.Byte(static_cast<uint8_t>(i * 8 - 128));
  const std::vector<float> out = Decode(TensorType::kQ8_0, block, 32);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(0.5f * static_cast<float>(i * 8 - 128), out[static_cast<size_t>(i)]);
}

// Byte j holds element j in its low nibble (j % 16) and element j + 16 in its high one (15 - j).
template <typename Value>
void ExpectNibbles(const std::vector<float>& out, Value value) {
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(value(j, j), out[static_cast<size_t>(j)]) << j;
    EXPECT_EQ(value(15 - j, j + 16), out[static_cast<size_t>(j + 16)]) << j + 16;
  }
}

void AddNibbles(BlockBuilder* block) {
  for (unsigned j = 0; j < 16; ++j) block->Byte(j | ((15 - j) << 4));
}

TEST(Dequantize, Q4_0IsScaleTimesNibbleLessEight) {
  BlockBuilder block;
  block.Half(0.25f);
  AddNibbles(&block);
  ExpectNibbles(Decode(TensorType::kQ4_0, block, 32), [](int nibble, int) { return 0.25f * static_cast<float>(nibble - 8); });
}

TEST(Dequantize, Q4_1IsScaleTimesNibblePlusMinimum) {
  BlockBuilder block;
  block.Half(0.25f).Half(-3.0f);
  AddNibbles(&block);
  ExpectNibbles(Decode(TensorType::kQ4_1, block, 32),
                [](int nibble, int) { return 0.25f * static_cast<float>(nibble) - 3.0f; });
}

// Fifth bits: element i has one where i % 3 == 0.
uint32_t FifthBits() {
  uint32_t bits = 0;
  for (unsigned i = 0; i < 32; i += 3) bits |= 1u << i;
  return bits;
}

int WithFifth(int nibble, int element) { return nibble + (element % 3 == 0 ? 16 : 0); }

TEST(Dequantize, Q5_0TakesTheFifthBitFromTheWord) {
  BlockBuilder block;
  block.Half(2.0f);
  for (unsigned i = 0; i < 4; ++i) block.Byte((FifthBits() >> (8 * i)) & 0xff);
  AddNibbles(&block);
  ExpectNibbles(Decode(TensorType::kQ5_0, block, 32),
                [](int nibble, int element) { return 2.0f * static_cast<float>(WithFifth(nibble, element) - 16); });
}

TEST(Dequantize, Q5_1AddsAMinimum) {
  BlockBuilder block;
  block.Half(2.0f).Half(0.5f);
  for (unsigned i = 0; i < 4; ++i) block.Byte((FifthBits() >> (8 * i)) & 0xff);
  AddNibbles(&block);
  ExpectNibbles(Decode(TensorType::kQ5_1, block, 32),
                [](int nibble, int element) { return 2.0f * static_cast<float>(WithFifth(nibble, element)) + 0.5f; });
}

// Scales 3, 10, 17, ... and minima 60, 53, ... of eight sub-blocks in their 12 bytes: the first four sub-blocks have their six
// bits in bytes 0..3 and 4..7; the last four their low nibbles in bytes 8..11 and the upper two bits in bytes 0..7.
unsigned ScaleOf(unsigned sub) { return 3 + 7 * sub; }
unsigned MinimumOf(unsigned sub) { return 60 - 7 * sub; }

void AddScales(BlockBuilder* block) {
  for (unsigned j = 0; j < 4; ++j) block->Byte(ScaleOf(j) | ((ScaleOf(j + 4) >> 4) << 6));
  for (unsigned j = 0; j < 4; ++j) block->Byte(MinimumOf(j) | ((MinimumOf(j + 4) >> 4) << 6));
  for (unsigned j = 4; j < 8; ++j) block->Byte((ScaleOf(j) & 15) | ((MinimumOf(j) & 15) << 4));
}

unsigned NibbleOf(unsigned i) { return (i * 7 + i / 32) % 16; }

// 32 bytes hold sub-block 2 g (low) and 2 g + 1 (high).
void AddSuperNibbles(BlockBuilder* block) {
  for (unsigned g = 0; g < 4; ++g) {
    for (unsigned j = 0; j < 32; ++j) block->Byte(NibbleOf(64 * g + j) | (NibbleOf(64 * g + 32 + j) << 4));
  }
}

TEST(Dequantize, Q4_KHasSixBitScalesAndMinima) {
  BlockBuilder block;
  block.Half(0.5f).Half(0.25f);
  AddScales(&block);
  AddSuperNibbles(&block);
  const std::vector<float> out = Decode(TensorType::kQ4_K, block, 256);
  for (unsigned i = 0; i < 256; ++i) {
    EXPECT_EQ(0.5f * static_cast<float>(ScaleOf(i / 32) * NibbleOf(i)) - 0.25f * static_cast<float>(MinimumOf(i / 32)), out[i])
        << i;
  }
}

TEST(Dequantize, Q5_KTakesBitSubBlockOfTheFifthBits) {
  BlockBuilder block;
  block.Half(0.5f).Half(0.25f);
  AddScales(&block);
  const auto fifth = [](unsigned i) { return i % 5 == 0 ? 1u : 0u; };
  for (unsigned j = 0; j < 32; ++j) {
    unsigned byte = 0;
    for (unsigned sub = 0; sub < 8; ++sub) byte |= fifth(sub * 32 + j) << sub;
    block.Byte(byte);
  }
  AddSuperNibbles(&block);
  const std::vector<float> out = Decode(TensorType::kQ5_K, block, 256);
  for (unsigned i = 0; i < 256; ++i) {
    const unsigned number = NibbleOf(i) + 16 * fifth(i);
    EXPECT_EQ(0.5f * static_cast<float>(ScaleOf(i / 32) * number) - 0.25f * static_cast<float>(MinimumOf(i / 32)), out[i]) << i;
  }
}

TEST(Dequantize, Q6_KHasSixteenSignedScales) {
  const auto number = [](unsigned i) { return (i * 11 + i / 16) % 64; };
  const auto scale = [](unsigned i) { return static_cast<int>(i * 13 % 255) - 127; };
  BlockBuilder block;
  for (unsigned half = 0; half < 2; ++half) {
    // Byte l: numbers l (low) and l + 64 (high) of the half, for l in 0..63.
    for (unsigned l = 0; l < 64; ++l) block.Byte((number(half * 128 + l) & 15) | ((number(half * 128 + l + 64) & 15) << 4));
  }
  for (unsigned half = 0; half < 2; ++half) {
    for (unsigned l = 0; l < 32; ++l) {
      unsigned byte = 0;
      for (unsigned quarter = 0; quarter < 4; ++quarter) byte |= (number(half * 128 + quarter * 32 + l) >> 4) << (2 * quarter);
      block.Byte(byte);
    }
  }
  for (unsigned i = 0; i < 16; ++i) block.Byte(static_cast<uint8_t>(scale(i)));
  block.Half(0.5f);
  const std::vector<float> out = Decode(TensorType::kQ6_K, block, 256);
  for (unsigned i = 0; i < 256; ++i) {
    EXPECT_EQ(0.5f * static_cast<float>(scale(i / 16)) * static_cast<float>(static_cast<int>(number(i)) - 32), out[i]) << i;
  }
}

unsigned PairOf(unsigned i) { return (i * 5 + i / 16) % 4; }

// Byte l of each half: numbers l, l + 32, l + 64 and l + 96 of the half, two bits each.
void AddPairs(BlockBuilder* block) {
  for (unsigned half = 0; half < 2; ++half) {
    for (unsigned l = 0; l < 32; ++l) {
      unsigned byte = 0;
      for (unsigned quarter = 0; quarter < 4; ++quarter) byte |= PairOf(half * 128 + quarter * 32 + l) << (2 * quarter);
      block->Byte(byte);
    }
  }
}

TEST(Dequantize, Q2_KHasSixteenScalesAndMinimaOfFourBits) {
  BlockBuilder block;
  for (unsigned i = 0; i < 16; ++i) block.Byte(i | (15 - i) << 4);
  AddPairs(&block);
  block.Half(0.5f).Half(0.25f);
  const std::vector<float> out = Decode(TensorType::kQ2_K, block, 256);
  for (unsigned i = 0; i < 256; ++i) {
    const unsigned scale = i / 16;
    EXPECT_EQ(0.5f * static_cast<float>(scale * PairOf(i)) - 0.25f * static_cast<float>(15 - scale), out[i]) << i;
  }
}

TEST(Dequantize, Q3_KHasSixteenScalesOfSixBitsAndAThirdBitApart) {
  const auto third = [](unsigned i) { return i % 5 == 0 ? 1u : 0u; };
  const auto scale = [](unsigned i) { return i * 13 % 64; };
  BlockBuilder block;
  for (unsigned j = 0; j < 32; ++j) {
    unsigned byte = 0;
    for (unsigned b = 0; b < 8; ++b) byte |= third(b * 32 + j) << b;
    block.Byte(byte);
  }
  AddPairs(&block);
  // Low halves: scales 0..7 below 8..15; then the high pairs of 0, 4, 8 and 12 in one byte, of 1, 5, 9 and 13 in the next, ...
  for (unsigned i = 0; i < 8; ++i) block.Byte((scale(i) & 15) | (scale(i + 8) & 15) << 4);
  for (unsigned i = 0; i < 4; ++i) {
    block.Byte(scale(i) >> 4 | scale(i + 4) >> 4 << 2 | scale(i + 8) >> 4 << 4 | scale(i + 12) >> 4 << 6);
  }
  block.Half(0.5f);
  const std::vector<float> out = Decode(TensorType::kQ3_K, block, 256);
  for (unsigned i = 0; i < 256; ++i) {
    const int number = static_cast<int>(PairOf(i) + 4 * third(i)) - 4;
    EXPECT_EQ(0.5f * static_cast<float>((static_cast<int>(scale(i / 16)) - 32) * number), out[i]) << i;
  }
}

// Sixteen steps that grow away from zero (the ggml project's table).
constexpr int kSteps[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

TEST(Dequantize, IQ4_NLIsScaleTimesATablesNumber) {
  BlockBuilder block;
  block.Half(0.25f);
  AddNibbles(&block);
  ExpectNibbles(Decode(TensorType::kIQ4_NL, block, 32),
                [](int nibble, int) { return 0.25f * static_cast<float>(kSteps[nibble]); });
}

TEST(Dequantize, MXFP4IsAPowerOfTwoTimesAFloatOfFourBits) {
  constexpr float kFloats[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  for (const unsigned exponent : {0u, 1u, 2u, 3u, 125u, 127u, 200u, 252u}) {
    BlockBuilder block;
    block.Byte(exponent);
    AddNibbles(&block);
    const float scale = std::ldexp(1.0f, static_cast<int>(exponent) - 127);
    ExpectNibbles(Decode(TensorType::kMXFP4, block, 32), [&](int nibble, int) { return scale * kFloats[nibble]; });
  }
  BlockBuilder nan;
  nan.Byte(255);
  AddNibbles(&nan);
  for (const float number : Decode(TensorType::kMXFP4, nan, 32)) EXPECT_TRUE(std::isnan(number));
}

TEST(Dequantize, IQ4_XSHasEightScalesOfSixBits) {
  const auto scale = [](unsigned sub) { return (5 + sub * 9) % 64; };
  BlockBuilder block;
  block.Half(0.25f);
  unsigned highs = 0;
  for (unsigned sub = 0; sub < 8; ++sub) highs |= scale(sub) >> 4 << (2 * sub);
  block.Byte(highs & 255).Byte(highs >> 8);
  for (unsigned sub = 0; sub < 8; sub += 2) block.Byte((scale(sub) & 15) | (scale(sub + 1) & 15) << 4);
  for (unsigned sub = 0; sub < 8; ++sub) AddNibbles(&block);
  const std::vector<float> out = Decode(TensorType::kIQ4_XS, block, 256);
  for (unsigned sub = 0; sub < 8; ++sub) {
    ExpectNibbles(std::vector<float>(out.begin() + sub * 32, out.begin() + sub * 32 + 32), [&](int nibble, int) {
      return 0.25f * static_cast<float>((static_cast<int>(scale(sub)) - 32) * kSteps[nibble]);
    });
  }
}

TEST(Dequantize, EveryTargetDecodesRandomBytesLikeTheReference) {
  std::mt19937 random(7);
  for (const TensorType type : AllWeightTypes()) {
    const size_t block = formats::GetTensorType(type).block_values;
    const size_t values = block == 1 ? 101 : 5 * block;
    std::vector<std::byte> row(formats::RowBytes(type, values));
    // Random blocks of finite numbers: encode random floats, then flip the numbers but not the scales by encoding more of them.
    const std::vector<float> floats = RandomFloats(values, static_cast<uint32_t>(random()));
    QuantizeRow(type, floats.data(), values, row.data());
    std::vector<float> expected(values);
    DequantizeRow(type, row.data(), values, expected.data());
    for (const Target target : SupportedTargets()) {
      std::vector<float> out(values + 1, 3.0f);
      DequantizeRow(target, type, row.data(), values, out.data());
      for (size_t i = 0; i < values; ++i) {
        // The order of two multiplications may differ by one rounding.
        ASSERT_NEAR(expected[i], out[i], 3e-7f * (1 + std::abs(expected[i])))
            << CaseName(target, type, 1, 1, values) << " at " << i;
      }
      ASSERT_EQ(3.0f, out[values]) << "written beyond the row";
    }
  }
}

}  // namespace
}  // namespace damask::kernels
