// Rounding blocks of kFixedBlock floats to 13 bits and a scale, for activations and weights alike. In an unnamed namespace:
// compiled with AVX2 and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/matmul_bodies.h"
#include "kernels/pairs_avx2-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// The scale of kFixedBlock floats, and its inverse. Where one of them is NaN or infinite the scale is, and with it all that the
// numbers are used for; blocks too small to be divided by become zeros.
inline float FixedScale(const float* x, float* scale) {
  const float max = LargestMagnitude(x, kFixedBlock);
  *scale = max * (1.0f / kFixedLimit);
  return max > 1e-30f ? kFixedLimit / max : 0.0f;
}

}  // namespace
}  // namespace damask::kernels
