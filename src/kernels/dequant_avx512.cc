// Rows of every weight type to floats with AVX-512.
#include <immintrin.h>

#include <cstddef>

namespace damask::kernels::avx512 {
namespace {

using Scalar = __m512;

Scalar Broadcast(float value) { return _mm512_set1_ps(value); }

void StoreScaled16(__m128i numbers, Scalar scale, float* out) {
  _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(numbers)), scale));
}

void Store16(__m128i numbers, Scalar scale, Scalar minimum, float* out) {
  const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(numbers)), scale);
  _mm512_storeu_ps(out, _mm512_add_ps(product, minimum));
}

}  // namespace
}  // namespace damask::kernels::avx512

#define DAMASK_TARGET avx512
#include "kernels/dequant-inl.h"
