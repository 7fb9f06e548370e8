// Rows of every weight type to floats with AVX2 and F16C.
#include <immintrin.h>

#include <cstddef>

namespace damask::kernels::avx2 {
namespace {

using Scalar = __m256;

Scalar Broadcast(float value) { return _mm256_set1_ps(value); }

void StoreScaled16(__m128i numbers, Scalar scale, float* out) {
  const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(numbers));
  const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(numbers, 8)));
  _mm256_storeu_ps(out, _mm256_mul_ps(low, scale));
  _mm256_storeu_ps(out + 8, _mm256_mul_ps(high, scale));
}

void Store16(__m128i numbers, Scalar scale, Scalar minimum, float* out) {
  const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(numbers));
  const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(numbers, 8)));
  _mm256_storeu_ps(out, _mm256_add_ps(_mm256_mul_ps(low, scale), minimum));
  _mm256_storeu_ps(out + 8, _mm256_add_ps(_mm256_mul_ps(high, scale), minimum));
}

}  // namespace
}  // namespace damask::kernels::avx2

#define DAMASK_TARGET avx2
#include "kernels/dequant-inl.h"
