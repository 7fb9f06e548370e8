// Random products and their reference, for the tests of matmul.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "formats/tensor_type.h"
#include "kernels/matmul.h"
#include "kernels/quant.h"

namespace damask::kernels {

inline const std::vector<formats::TensorType>& AllWeightTypes() {
  using formats::TensorType;
  static const std::vector<TensorType> types = {
      TensorType::kF32,  TensorType::kF16,    TensorType::kBF16,   TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_1,
      TensorType::kQ5_0, TensorType::kQ5_1,   TensorType::kQ2_K,   TensorType::kQ3_K, TensorType::kQ4_K, TensorType::kQ5_K,
      TensorType::kQ6_K, TensorType::kIQ4_NL, TensorType::kIQ4_XS, TensorType::kMXFP4};
  return types;
}

inline bool IsFloatType(formats::TensorType type) { return formats::GetTensorType(type).block_values == 1; }

inline std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// A weight matrix and its exact values.
struct Weights {
  Weights(formats::TensorType type_in, size_t n_in, size_t k_in, uint32_t seed)
      : type(type_in), n(n_in), k(k_in), exact(n_in * k_in) {
    const size_t row_bytes = formats::RowBytes(type, k);
    bytes.resize(n * row_bytes);
    const std::vector<float> values = RandomFloats(n * k, seed);
    for (size_t row = 0; row < n; ++row) {
      QuantizeRow(type, values.data() + row * k, k, bytes.data() + row * row_bytes);
      DequantizeRow(type, bytes.data() + row * row_bytes, k, exact.data() + row * k);
    }
  }

  WeightView view() const { return {type, bytes.data(), n, k}; }

  formats::TensorType type;
  size_t n;
  size_t k;
  std::vector<std::byte> bytes;
  std::vector<float> exact;
};

// x [m, k] times w^T, in double.
inline std::vector<double> ExactProduct(const std::vector<float>& x, size_t m, const Weights& w) {
  std::vector<double> y(m * w.n);
  for (size_t row = 0; row < m; ++row) {
    for (size_t n = 0; n < w.n; ++n) {
      double sum = 0;
      for (size_t i = 0; i < w.k; ++i) sum += static_cast<double>(x[row * w.k + i]) * static_cast<double>(w.exact[n * w.k + i]);
      y[row * w.n + n] = sum;
    }
  }
  return y;
}

// Largest error over the root mean square of the expected values: of normal numbers, so that a single wrong block shows.
inline double RelativeError(const std::vector<double>& expected, const float* y, size_t n, size_t stride) {
  double squares = 0;
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += expected[i] * expected[i];
    largest = std::max(largest, std::abs(expected[i] - static_cast<double>(y[i / n * stride + i % n])));
  }
  return largest / std::sqrt(squares / static_cast<double>(expected.size()));
}

// Types whose codes AVX2 multiplies as they are, by activations of 8 bits; all others are rounded to 13 bits on both sides.
inline bool HasAvx2Codes(formats::TensorType type) {
  using formats::TensorType;
  return type == TensorType::kQ4_0 || type == TensorType::kQ4_1 || type == TensorType::kQ5_0 || type == TensorType::kQ5_1 ||
         type == TensorType::kQ4_K || type == TensorType::kQ5_K || type == TensorType::kMXFP4;
}

// What the header of matmul.h promises, with five standard deviations of room.
inline double Tolerance(Target target, Phase phase, formats::TensorType type) {
  if (target == Target::kScalar) return 1e-5;
  if (phase == Phase::kPrefill && (target < Target::kAvx512Vnni || (target == Target::kAvx512Vnni && IsFloatType(type)))) {
    return HasAvx2Codes(type) ? 0.06 : 2e-3;
  }
  if (IsFloatType(type)) return phase == Phase::kPrefill ? 0.015 : 1e-5;
  return 0.06;
}

inline std::vector<Target> SupportedTargets() {
  std::vector<Target> targets;
  for (const Target target : AllTargets()) {
    if (TargetSupported(target)) targets.push_back(target);
  }
  return targets;
}

inline std::string CaseName(Target target, formats::TensorType type, size_t m, size_t n, size_t k) {
  return std::string(TargetName(target)) + " " + std::string(formats::GetTensorType(type).name) + " m " + std::to_string(m) +
         " n " + std::to_string(n) + " k " + std::to_string(k);
}

}  // namespace damask::kernels
