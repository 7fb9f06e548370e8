// Numbers to bytes: what byte_scores.h and byte_vectors.h round alike.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/page.h"

namespace damask::kernels {

inline constexpr float kLargestByte = 127.0f;
// Added to the queries of AVX-512 VNNI, which wants them unsigned.
inline constexpr int kQueryOffset = 128;

// Of a multiple of kQuarterTokens numbers: side by side, as a single maximum would wait for itself.
inline float LargestMagnitude(const float* numbers, size_t n) {
  float largest[kQuarterTokens] = {};
  for (size_t i = 0; i < n; i += kQuarterTokens) {
    for (size_t j = 0; j < kQuarterTokens; ++j) largest[j] = std::max(largest[j], std::fabs(numbers[i + j]));
  }
  return *std::max_element(largest, largest + kQuarterTokens);
}

// Of 0 and of what is not a number nothing is kept.
inline float InverseByteScale(float largest) { return largest > 0 && std::isfinite(largest) ? kLargestByte / largest : 0.0f; }

// The nearest integer to x * inverse, ties to even: the low bits of the sum. What is not a number gives some byte.
inline int8_t ToByte(float x, float inverse) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  return static_cast<int8_t>(std::bit_cast<uint32_t>(x * inverse + kRound));
}

// Of a vector whose largest magnitude gives `inverse`; 0 where nothing is kept.
inline float ByteScale(float largest, float inverse) { return inverse > 0 ? largest / kLargestByte : 0.0f; }

// A vector, of a multiple of kQuarterTokens numbers. Returns its scale, beside which the bytes of a vector that is not kept
// do not count.
inline float RoundToBytes(const float* vector, size_t dim, int8_t* bytes) {
  const float largest = LargestMagnitude(vector, dim);
  const float inverse = InverseByteScale(largest);
  for (size_t d = 0; d < dim; ++d) bytes[d] = ToByte(vector[d], inverse);
  return ByteScale(largest, inverse);
}

// Where number d of vector `lane` stands among 16 vectors whose numbers lie in fours: [dim / 4][16][4].
inline constexpr size_t kByteStep = 4;
inline size_t ByteIndex(size_t d, size_t lane) { return (d / kByteStep * kQuarterTokens + lane) * kByteStep + d % kByteStep; }

}  // namespace damask::kernels
