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

}  // namespace damask::kernels
