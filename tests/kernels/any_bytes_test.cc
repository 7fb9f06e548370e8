// Blocks as foreign quantisers write them: every byte but the scales may be anything. -128 in Q8_0, sub-scales of -128 in Q6_K,
// minima without numbers, codes that all are alike.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bf16.h"
#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

std::vector<TensorType> BlockTypes() {
  std::vector<TensorType> types = AllWeightTypes();
  std::erase_if(types, IsFloatType);
  return types;
}

std::string TypeName(const ::testing::TestParamInfo<TensorType>& info) {
  return std::string(formats::GetTensorType(info.param).name);
}

// Offsets of a block's float16 scales.
std::vector<size_t> ScalesAt(TensorType type) {
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K: return {0, 2};
    case TensorType::kQ2_K: return {80, 82};
    case TensorType::kQ3_K: return {108};
    case TensorType::kQ6_K: return {208};
    case TensorType::kMXFP4: return {};  // a byte with an exponent
    default: return {0};
  }
}

// Scales of a size that weights have, of both signs.
void SetScales(TensorType type, std::byte* block, std::mt19937* random) {
  if (type == TensorType::kMXFP4) block[0] = static_cast<std::byte>(124 + (*random)() % 4);
  for (const size_t at : ScalesAt(type)) {
    const float size = 0.01f + 0.01f * static_cast<float>((*random)() % 5);
    const uint16_t bits = FloatToHalf((*random)() % 2 == 0 ? size : -size);
    std::memcpy(block + at, &bits, sizeof(bits));
  }
}

constexpr int kRandom = -1;  // in place of a byte that all others are

Weights AnyBytes(TensorType type, size_t n, size_t k, uint32_t seed, int fill) {
  Weights w(type, n, k, seed);
  const size_t block_bytes = formats::GetTensorType(type).block_bytes;
  std::mt19937 random(seed);
  for (std::byte& byte : w.bytes) byte = static_cast<std::byte>(fill == kRandom ? random() : static_cast<uint32_t>(fill));
  for (size_t at = 0; at < w.bytes.size(); at += block_bytes) SetScales(type, w.bytes.data() + at, &random);
  const size_t row_bytes = formats::RowBytes(type, k);
  for (size_t row = 0; row < n; ++row) DequantizeRow(type, w.bytes.data() + row * row_bytes, k, w.exact.data() + row * k);
  return w;
}

// What a sum of these weights with normal numbers is like where they have signs of their own. Weights that are all alike cancel
// in the sum, so that errors must be measured by what was summed: by the least of the scales where all codes stand for zero.
double SizeOfSums(const Weights& w) {
  double squares = 0;
  for (const float value : w.exact) squares += static_cast<double>(value) * static_cast<double>(value);
  return std::max(0.01, std::sqrt(squares / static_cast<double>(w.n)));
}

constexpr size_t kRows = 9;

double LargestError(Target target, Phase phase, const std::vector<float>& x, const Weights& w,
                    const std::vector<double>& expected, ThreadPool* pool) {
  Matmul matmul(target, pool);
  Activations loaded;
  matmul.Load(phase, x.data(), kRows, w.k, w.k, &loaded);
  std::vector<float> y(kRows * w.n, 77.0f);
  matmul.Multiply(loaded, w.view(), {}, y.data(), w.n);
  double largest = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double error = std::abs(expected[i] - static_cast<double>(y[i]));
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, error);
  }
  return largest;
}

class AnyBytesOf : public ::testing::TestWithParam<TensorType> {};

TEST_P(AnyBytesOf, AreMultipliedAsTheyAreDecoded) {
  ThreadPool pool(2);
  for (const int fill : {kRandom, 0x80, 0xff, 0x7f, 0x00, 0x88}) {
    const Weights w = AnyBytes(GetParam(), 67, 1024, 3, fill);
    const std::vector<float> x = RandomFloats(kRows * w.k, 4);
    const std::vector<double> expected = ExactProduct(x, kRows, w);
    const double size = SizeOfSums(w);
    for (const Target target : SupportedTargets()) {
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        EXPECT_LE(LargestError(target, phase, x, w, expected, &pool), Tolerance(target, phase, w.type) * size)
            << CaseName(target, w.type, kRows, w.n, w.k) << (phase == Phase::kPrefill ? " prefill" : " decode") << " fill "
            << fill;
      }
    }
  }
}

TEST_P(AnyBytesOf, DecodeAlikeOnEveryTarget) {
  for (uint32_t seed = 1; seed < 40; ++seed) {
    const Weights w = AnyBytes(GetParam(), 1, 1024, seed, kRandom);
    for (const Target target : SupportedTargets()) {
      std::vector<float> out(w.k);
      DequantizeRow(target, w.type, w.bytes.data(), w.k, out.data());
      for (size_t i = 0; i < w.k; ++i) {
        ASSERT_NEAR(w.exact[i], out[i], 1e-6f * (1 + std::abs(w.exact[i])))
            << CaseName(target, w.type, 1, 1, i) << " seed " << seed;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, AnyBytesOf, ::testing::ValuesIn(BlockTypes()), TypeName);

}  // namespace
}  // namespace damask::kernels
