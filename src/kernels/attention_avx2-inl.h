// What the AVX2 bodies of attention share. In an unnamed namespace: compiled with AVX2 and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

constexpr size_t kVector = 8;
constexpr float kMinusInfinity = -__builtin_inff();

// Of the eight numbers.
inline float Sum(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

inline __m256 ZeroIfMinusInfinity(__m256 v) {
  return _mm256_and_ps(v, _mm256_cmp_ps(v, _mm256_set1_ps(kMinusInfinity), _CMP_NEQ_UQ));
}

// 2^x for x <= 13 with a relative error below 4e-6, exact where x is whole; below -120 as at -120. Minimax polynomial of degree
// 4 on [-1/2, 1/2] with p(0) = 1.
inline __m256 Exp2(__m256 x) {
  const __m256 magic = _mm256_set1_ps(12582912.0f);  // leaves the whole part in the low bits
  x = _mm256_max_ps(_mm256_set1_ps(-120.0f), x);     // a NaN stays one
  const __m256 shifted = _mm256_add_ps(x, magic);
  const __m256 rest = _mm256_sub_ps(x, _mm256_sub_ps(shifted, magic));
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(0.009782912553481137f), rest, _mm256_set1_ps(0.05597688362709463f));
  p = _mm256_fmadd_ps(p, rest, _mm256_set1_ps(0.24020711078853463f));
  p = _mm256_fmadd_ps(p, rest, _mm256_set1_ps(0.693113604403908f));
  p = _mm256_fmadd_ps(p, rest, _mm256_set1_ps(1.0f));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}

}  // namespace
}  // namespace damask::kernels
