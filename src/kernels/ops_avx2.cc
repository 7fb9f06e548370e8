// AVX2 + FMA bodies of the small operations.
#include <immintrin.h>

#include <cstdint>
#include <limits>

#include "kernels/gates_avx2-inl.h"
#include "kernels/ops_targets.h"

namespace damask::kernels::avx2 {
namespace {

constexpr float kLargestFloat = std::numeric_limits<float>::max();

float HorizontalSum(__m256 v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
  return _mm_cvtss_f32(sum);
}

// (a0 b0 a1 b1 ...) turned by (c0 s0 c1 s1 ...).
__m256 RotateAdjacent(__m256 pairs, __m256 cos_sin) {
  const __m256 cosine = _mm256_moveldup_ps(cos_sin);
  const __m256 sine = _mm256_movehdup_ps(cos_sin);
  const __m256 swapped = _mm256_permute_ps(pairs, 0xb1);
  return _mm256_fmaddsub_ps(pairs, cosine, _mm256_mul_ps(swapped, sine));
}

void RotateScalar(float* a, float* b, const float* cos_sin) {
  const float rotated = *a * cos_sin[0] - *b * cos_sin[1];
  *b = *a * cos_sin[1] + *b * cos_sin[0];
  *a = rotated;
}

}  // namespace

bool RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (size_t j = 0; j < 4; ++j) {
      const __m256 v = _mm256_loadu_ps(x + i + 8 * j);
      sums[j] = _mm256_fmadd_ps(v, v, sums[j]);
    }
  }
  for (; i < n; i += 8) {
    const __m256 v = _mm256_maskload_ps(x + i, TailMask(n - i));
    sums[0] = _mm256_fmadd_ps(v, v, sums[0]);
  }
  const float sum = HorizontalSum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  if (!(sum <= kLargestFloat)) return false;
  const __m128 root = _mm_sqrt_ss(_mm_set_ss(sum / static_cast<float>(n) + epsilon));
  const __m256 scale = _mm256_set1_ps(1.0f / _mm_cvtss_f32(root));
  for (i = 0; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), scale), _mm256_loadu_ps(weight + i)));
  }
  if (i < n) {
    const __m256i mask = TailMask(n - i);
    const __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), scale);
    _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(weight + i, mask)));
  }
  return true;
}

void Rope(RopeKind kind, float* x, size_t heads, size_t head_dim, size_t rotated_dims, const float* cos_sin) {
  const size_t pairs = rotated_dims / 2;
  for (size_t head = 0; head < heads; ++head, x += head_dim) {
    size_t i = 0;
    if (kind == RopeKind::kAdjacent) {
      for (; i + 4 <= pairs; i += 4) {
        _mm256_storeu_ps(x + 2 * i, RotateAdjacent(_mm256_loadu_ps(x + 2 * i), _mm256_loadu_ps(cos_sin + 2 * i)));
      }
      for (; i < pairs; ++i) RotateScalar(x + 2 * i, x + 2 * i + 1, cos_sin + 2 * i);
      continue;
    }
    for (; i + 8 <= pairs; i += 8) {
      // Eight (cos, sin) pairs to eight cosines and eight sines.
      const __m256 low = _mm256_loadu_ps(cos_sin + 2 * i);
      const __m256 high = _mm256_loadu_ps(cos_sin + 2 * i + 8);
      const __m256 evens = _mm256_shuffle_ps(low, high, 0x88);
      const __m256 odds = _mm256_shuffle_ps(low, high, 0xdd);
      const __m256 cosine = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(evens), 0xd8));
      const __m256 sine = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(odds), 0xd8));
      const __m256 a = _mm256_loadu_ps(x + i);
      const __m256 b = _mm256_loadu_ps(x + i + pairs);
      _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, cosine, _mm256_mul_ps(b, sine)));
      _mm256_storeu_ps(x + i + pairs, _mm256_fmadd_ps(a, sine, _mm256_mul_ps(b, cosine)));
    }
    for (; i < pairs; ++i) RotateScalar(x + i, x + i + pairs, cos_sin + 2 * i);
  }
}

void GateMul(GateFunction function, float* gate, const float* up, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(gate + i, GateTimes(function, _mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
  if (i == n) return;
  const __m256i mask = TailMask(n - i);
  _mm256_maskstore_ps(gate + i, mask,
                      GateTimes(function, _mm256_maskload_ps(gate + i, mask), _mm256_maskload_ps(up + i, mask)));
}

}  // namespace damask::kernels::avx2
