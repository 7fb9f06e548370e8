// f(gate) * up of 8 lanes, for the small operation and for the products' epilogue (GateFunction in kernels/ops.h). In an
// unnamed namespace: compiled with AVX2 and not to be shared.
#pragma once

#include <immintrin.h>

#include "kernels/ops.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// exp(x) for x in [-87, 88] with relative error below 3e-7: 2^n times a polynomial of the rest in [-ln2/2, ln2/2]
// (Taylor coefficients, degree 6).
inline __m256 Exp(__m256 x) {
  x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87.0f)), _mm256_set1_ps(88.0f));
  const __m256 n =
      _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.0f / 720);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
}

// gate * sigmoid(-x) * up.
inline __m256 SigmoidTimes(__m256 gate, __m256 x, __m256 up) {
  return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(_mm256_set1_ps(1.0f), Exp(x))), up);
}

inline __m256 SiluTimes(__m256 gate, __m256 up) { return SigmoidTimes(gate, _mm256_sub_ps(_mm256_setzero_ps(), gate), up); }

inline __m256 GeluTimes(__m256 gate, __m256 up) {
  const __m256 factor =
      _mm256_fmadd_ps(_mm256_mul_ps(gate, gate), _mm256_set1_ps(-kGeluSlope * kGeluCubic), _mm256_set1_ps(-kGeluSlope));
  return SigmoidTimes(gate, _mm256_mul_ps(gate, factor), up);
}

inline __m256 ClampedTimes(__m256 gate, __m256 up) {
  const __m256 limit = _mm256_set1_ps(kClampedLimit);
  // In this order of operands NaN stays what it is.
  gate = _mm256_min_ps(limit, gate);
  up = _mm256_min_ps(limit, _mm256_max_ps(_mm256_set1_ps(-kClampedLimit), up));
  return SigmoidTimes(gate, _mm256_mul_ps(gate, _mm256_set1_ps(-kClampedSlope)), _mm256_add_ps(up, _mm256_set1_ps(1.0f)));
}

inline __m256 GateTimes(GateFunction function, __m256 gate, __m256 up) {
  switch (function) {
    case GateFunction::kSilu: return SiluTimes(gate, up);
    case GateFunction::kGelu: return GeluTimes(gate, up);
    case GateFunction::kClamped: return ClampedTimes(gate, up);
  }
  return up;
}

// Lanes below `count` (0..8, or more) are on.
inline __m256i TailMask(size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

}  // namespace
}  // namespace damask::kernels
