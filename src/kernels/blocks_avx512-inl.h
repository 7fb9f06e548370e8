// Gathering the scales of neighbouring weight blocks into vectors. In an unnamed namespace: compiled with wide instruction sets
// and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/k_scales-inl.h"
#include "kernels/quant_read-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// The first two bytes of eight blocks that lie kStride apart.
template <size_t kStride>
__m128i EightHalves(const std::byte* row) {
  const auto at = [row](size_t i) { return ReadAs<int16_t>(row + i * kStride); };
  __m128i halves = _mm_cvtsi32_si128(at(0));
  halves = _mm_insert_epi16(halves, at(1), 1);
  halves = _mm_insert_epi16(halves, at(2), 2);
  halves = _mm_insert_epi16(halves, at(3), 3);
  halves = _mm_insert_epi16(halves, at(4), 4);
  halves = _mm_insert_epi16(halves, at(5), 5);
  halves = _mm_insert_epi16(halves, at(6), 6);
  return _mm_insert_epi16(halves, at(7), 7);
}

// The scales of sixteen blocks.
template <size_t kStride>
__m512 HalvesOfBlocks(const std::byte* row) {
  return _mm512_cvtph_ps(
      _mm256_inserti128_si256(_mm256_castsi128_si256(EightHalves<kStride>(row)), EightHalves<kStride>(row + 8 * kStride), 1));
}

// Scales (lanes 0..7) and minima (8..15) of a Q4_K or Q5_K super-block; `d_and_dmin` are its two factors in lanes 0 and 1.
inline __m512 ScaledKScales(const KScales& k, __m128 d_and_dmin) {
  const __m512 factors = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1),
                                               _mm512_castps128_ps512(d_and_dmin));
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&k));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), factors);
}

// The numbers 0..63 of a quarter-half of a Q6_K super-block: [0] the first 64 of half `half` (0 or 1), [1] the last.
struct SixBits {
  __m512i numbers[2];
};

inline SixBits UnpackSixBits(const std::byte* row, int half) {
  const __m512i low_mask = _mm512_set1_epi8(15);
  const __m512i high_mask = _mm512_set1_epi8(0x30);
  const __m512i packed = _mm512_loadu_si512(row + half * 64);
  const __m512i pairs = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 128 + half * 32)));
  // The upper half needs the next bit pair.
  const __m512i shifted = _mm512_srlv_epi64(pairs, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2));
  const __m512i low = _mm512_and_si512(packed, low_mask);
  const __m512i high = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_mask);
  return {{_mm512_or_si512(low, _mm512_and_si512(_mm512_slli_epi16(shifted, 4), high_mask)),
           _mm512_or_si512(high, _mm512_and_si512(shifted, high_mask))}};
}

}  // namespace
}  // namespace damask::kernels
