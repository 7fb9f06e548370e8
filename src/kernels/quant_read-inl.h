// Numbers as they lie in the blocks of quantised weights. In an unnamed namespace: compiled with several instruction sets (F16C
// at least) and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

template <typename T>
inline T ReadAs(const void* at) {
  T value;
  __builtin_memcpy(&value, at, sizeof(T));
  return value;
}

inline float Half(const std::byte* at) { return _cvtsh_ss(ReadAs<uint16_t>(at)); }

// The eight scales of a super-block of IQ4_XS, d aside: their low halves lie in a word of 4 bytes, their high pairs in one
// of 2.
inline __m256 Iq4Scales(const std::byte* block) {
  const __m256i lows = _mm256_set1_epi32(ReadAs<int32_t>(block + 4));
  const __m256i highs = _mm256_set1_epi32(ReadAs<uint16_t>(block + 2));
  const __m256i low =
      _mm256_and_si256(_mm256_srlv_epi32(lows, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)), _mm256_set1_epi32(15));
  const __m256i high =
      _mm256_and_si256(_mm256_srlv_epi32(highs, _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)), _mm256_set1_epi32(3));
  const __m256i stored = _mm256_or_si256(low, _mm256_slli_epi32(high, 4));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(stored, _mm256_set1_epi32(32)));
}

}  // namespace
}  // namespace damask::kernels
