// Byte scores by products of 16-bit pairs, which every CPU with AVX2 has (products of bytes would saturate). As with AVX-512:
// lanes are rows and a key's numbers are broadcast, so that maxima run down columns.
#include <immintrin.h>

#include <limits>

#include "kernels/byte_scores_targets.h"
#include "kernels/pairs_avx2-inl.h"

namespace damask::kernels::avx2 {
namespace {

constexpr size_t kVector = 8;  // rows of a vector of sums
// 2 keys x 4 vectors of rows: 8 sums, 4 maxima and 2 keys of 16 registers.
constexpr size_t kMaxVectors = 4;
constexpr size_t kStepNumbers = 4 * kQuarterTokens;

__m256i LoadRows(const int16_t* numbers) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers)); }

// Largest sums of rows [kVectors * 8] with any of 16 keys [dim / 4][16][4]. Queries are [kVectors / 2][dim / 2][16][2].
template <size_t kVectors>
void Maxima(const int16_t* keys, size_t dim, const int16_t* queries, __m256i (&best)[kVectors]) {
  for (__m256i& lanes : best) lanes = _mm256_set1_epi32(std::numeric_limits<int32_t>::min());
  for (size_t key = 0; key < kQuarterTokens; key += 2) {
    __m256i sums[2][kVectors];
    for (size_t v = 0; v < kVectors; ++v) sums[0][v] = sums[1][v] = _mm256_setzero_si256();
    for (size_t pair = 0; pair < dim / 2; ++pair) {
      const int16_t* const at = keys + pair / 2 * kStepNumbers + key * 4 + pair % 2 * 2;
      const __m256i one = BroadcastPair(at);
      const __m256i other = BroadcastPair(at + 4);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        const __m256i q = LoadRows(queries + v / 2 * kQuarterTokens * dim + (pair * kQuarterTokens + v % 2 * kVector) * 2);
        sums[0][v] = _mm256_add_epi32(sums[0][v], _mm256_madd_epi16(q, one));
        sums[1][v] = _mm256_add_epi32(sums[1][v], _mm256_madd_epi16(q, other));
      }
    }
    for (size_t v = 0; v < kVectors; ++v) best[v] = _mm256_max_epi32(best[v], _mm256_max_epi32(sums[0][v], sums[1][v]));
  }
}

}  // namespace

void ByteMaximaOfRows(const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  const size_t dim = queries.dim();
  alignas(32) int16_t keys[kMaxByteDim * kQuarterTokens];
  for (size_t i = 0; i < dim * kQuarterTokens; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(quarter.bytes + i));
    _mm256_store_si256(reinterpret_cast<__m256i*>(keys + i), _mm256_cvtepi8_epi16(bytes));
  }
  const auto store = [&](size_t lane, __m256i best) {
    const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(queries.scales() + lane), _mm256_set1_ps(quarter.scale));
    _mm256_storeu_ps(largest + lane, _mm256_mul_ps(_mm256_cvtepi32_ps(best), scale));
  };
  size_t lane = 0;
  for (; lane + kMaxVectors * kVector <= queries.lanes(); lane += kMaxVectors * kVector) {
    __m256i best[kMaxVectors];
    Maxima(keys, dim, queries.pairs() + lane * dim, best);
    for (size_t v = 0; v < kMaxVectors; ++v) store(lane + v * kVector, best[v]);
  }
  if (lane < queries.lanes()) {
    __m256i best[2];
    Maxima(keys, dim, queries.pairs() + lane * dim, best);
    for (size_t v = 0; v < 2; ++v) store(lane + v * kVector, best[v]);
  }
}

}  // namespace damask::kernels::avx2
