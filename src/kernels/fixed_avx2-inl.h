// Rounding blocks of kFixedBlock floats to 13 bits and a scale, for activations and weights alike. In an unnamed namespace:
// compiled with AVX2 and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// The scale of kFixedBlock floats, and its inverse. Where one of them is NaN or infinite the scale is, and with it all that the
// numbers are used for; blocks too small to be divided by become zeros.
inline float FixedScale(const float* x, float* scale) {
  // As integers the bits of |x| have the order of the numbers, with NaN above all: max() of floats forgets it.
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t i = 0; i < kFixedBlock; i += 16) {
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; ++j) {
      const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i + 8 * j));
      largest[j] = _mm256_max_epi32(largest[j], _mm256_and_si256(bits, magnitude));
    }
  }
  const __m256i both = _mm256_max_epi32(largest[0], largest[1]);
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  const float max = _mm_cvtss_f32(_mm_castsi128_ps(half));
  *scale = max * (1.0f / kFixedLimit);
  return max > 1e-30f ? kFixedLimit / max : 0.0f;
}

}  // namespace
}  // namespace damask::kernels
