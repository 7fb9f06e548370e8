// Rows of activations to 8-bit blocks for prefill, with AVX-512.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/activation_forms.h"
#include "kernels/panel_avx512-inl.h"

namespace damask::kernels::avx512 {

void MakeWideRow(const float* x, size_t k, size_t blocks, int8_t* q, float* scale, int32_t* start) {
  static_assert(kWideBlock % 16 == 0);
  constexpr size_t kVectors = kWideBlock / 16;
  for (size_t block = 0; block < blocks; ++block) {
    __m512 v[kVectors];
    // Bits of |x|, which order as the numbers do, with NaN above all: max() of floats forgets it.
    __m512i largest = _mm512_setzero_si512();
    for (size_t i = 0; i < kVectors; ++i) {
      v[i] = LoadTail(x, block * kWideBlock + i * 16, k);
      largest = _mm512_max_epi32(largest, _mm512_castps_si512(_mm512_abs_ps(v[i])));
    }
    const float max = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(largest))));
    scale[block] = max * (1.0f / 127);
    const float inverse = max > 0 ? 127.0f / max : 0.0f;
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < kVectors; ++i) {
      const __m512i numbers = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], _mm512_set1_ps(inverse)));
      sum = _mm512_add_epi32(sum, numbers);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + block * kWideBlock + i * 16), _mm512_cvtepi32_epi8(numbers));
    }
    // Where some x is NaN or infinite (the scale then is so, too, and all that it is multiplied with) and where the largest is
    // too small to be divided by, numbers are 0 or the least integer, bytes therefore 0, and sums would overflow.
    const bool sound = inverse > 0 && inverse < __builtin_inff();
    start[block] = sound ? -128 * _mm512_reduce_add_epi32(sum) : 0;
  }
}

}  // namespace damask::kernels::avx512
