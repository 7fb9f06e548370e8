// f(gate) * up of 16 lanes, for the small operation and for the products' epilogue (GateFunction in kernels/ops.h). In an
// unnamed namespace: compiled with wide instruction sets and not to be shared.
#pragma once

#include <immintrin.h>

#include "kernels/ops.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// gate * sigmoid(-x) * up. exp in it: relative error below 3e-7 (Taylor coefficients, degree 6, over [-ln2/2, ln2/2]), between
// limits within which it becomes no denormal: a vector with one takes 150 cycles.
inline __m512 SigmoidTimes(__m512 gate, __m512 x, __m512 up) {
  x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(88.0f));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 720);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  const __m512 e = _mm512_scalef_ps(p, n);
  return _mm512_mul_ps(_mm512_div_ps(gate, _mm512_add_ps(_mm512_set1_ps(1.0f), e)), up);
}

inline __m512 SiluTimes(__m512 gate, __m512 up) { return SigmoidTimes(gate, _mm512_sub_ps(_mm512_setzero_ps(), gate), up); }

inline __m512 GeluTimes(__m512 gate, __m512 up) {
  const __m512 factor =
      _mm512_fmadd_ps(_mm512_mul_ps(gate, gate), _mm512_set1_ps(-kGeluSlope * kGeluCubic), _mm512_set1_ps(-kGeluSlope));
  return SigmoidTimes(gate, _mm512_mul_ps(gate, factor), up);
}

inline __m512 ClampedTimes(__m512 gate, __m512 up) {
  const __m512 limit = _mm512_set1_ps(kClampedLimit);
  // In this order of operands NaN stays what it is.
  gate = _mm512_min_ps(limit, gate);
  up = _mm512_min_ps(limit, _mm512_max_ps(_mm512_set1_ps(-kClampedLimit), up));
  return SigmoidTimes(gate, _mm512_mul_ps(gate, _mm512_set1_ps(-kClampedSlope)), _mm512_add_ps(up, _mm512_set1_ps(1.0f)));
}

inline __m512 GateTimes(GateFunction function, __m512 gate, __m512 up) {
  switch (function) {
    case GateFunction::kSilu: return SiluTimes(gate, up);
    case GateFunction::kGelu: return GeluTimes(gate, up);
    case GateFunction::kClamped: return ClampedTimes(gate, up);
  }
  return up;
}

}  // namespace
}  // namespace damask::kernels
