// What both AVX-512 bodies of expand.h have in common.
#pragma once

#include <immintrin.h>

#include "kernels/expand-inl.h"

namespace damask::kernels {
namespace {

struct Avx512Scales {
  using Scales = __m512;

  static __m512 Splat(uint16_t scale) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(scale) << 16)); }
  static __m512 Load(const uint16_t* scales) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static __m512 Scaled(const int8_t* numbers, __m512 scales) {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen)), scales);
  }
};

}  // namespace
}  // namespace damask::kernels
