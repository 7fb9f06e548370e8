// 16-bit integers with AVX2: floats rounded to them, transposed as pairs, multiplied in pairs. In an unnamed namespace:
// compiled with AVX2 and not to be shared.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// Of the eight 32-bit numbers.
inline int32_t LargestOfEight(__m256i numbers) {
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256(numbers, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

// The largest |x| of `count` floats, a multiple of 16; NaN where one of them is.
inline float LargestMagnitude(const float* x, size_t count) {
  // As integers the bits of |x| have the order of the numbers, with NaN above all: max() of floats forgets it.
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t i = 0; i < count; i += 16) {
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; ++j) {
      const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i + 8 * j));
      largest[j] = _mm256_max_epi32(largest[j], _mm256_and_si256(bits, magnitude));
    }
  }
  return std::bit_cast<float>(LargestOfEight(_mm256_max_epi32(largest[0], largest[1])));
}

// Sixteen floats times `inverse` to 16 bits; pairs of neighbours in the order 0 1 4 5 2 3 6 7.
inline __m256i RoundSixteen(const float* x, __m256 inverse) {
  return _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse)),
                            _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), inverse)));
}

// Where RoundSixteen leaves the pairs that stand at 0 to 7.
inline constexpr int kRoundedPair[8] = {0, 1, 4, 5, 2, 3, 6, 7};

inline __m256i BroadcastPair(const int16_t* pair) {
  int32_t both;
  __builtin_memcpy(&both, pair, sizeof(both));
  return _mm256_set1_epi32(both);
}

inline __m256i BroadcastFour(const int16_t* numbers) {
  int64_t four;
  __builtin_memcpy(&four, numbers, sizeof(four));
  return _mm256_set1_epi64x(four);
}

// sum += sums of neighbours of a * b. In one piece: GCC computes several products before it adds them, and spills the sums.
inline void AddPairs(__m256i a, __m256i b, __m256i* sum) {
  __m256i product;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(*sum), "=&x"(product) : "x"(a), "x"(b));
}

// 8 rows of 8 dwords become 8 columns.
inline void Transpose8(__m256i* r) {
  __m256i t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  __m256i u[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x31);
  }
}

}  // namespace
}  // namespace damask::kernels
