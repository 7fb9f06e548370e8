// Byte scores by products of 16-bit pairs, which every CPU with AVX2 has (products of bytes would saturate). As with AVX-512:
// lanes are rows and a key's numbers are broadcast, so that maxima run down columns; a single row's numbers are broadcast
// instead.
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

__m256i LoadBytes(const int8_t* bytes) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

// Largest sums of rows [kVectors * 8] with any of 16 keys [dim / 4][16][4]. Queries are [kVectors / 2][dim / 2][16][2].
template <size_t kVectors>
void Maxima(const int16_t* keys, size_t dim, const int16_t* queries, __m256i (&best)[kVectors]) {
  for (__m256i& lanes : best) lanes = _mm256_set1_epi32(std::numeric_limits<int32_t>::min());
  for (size_t key = 0; key < kQuarterTokens; key += 2) {
    for (__m256i& lanes : best) asm("" : "+m"(lanes));  // else they keep the registers of what is multiplied
    __m256i sums[2][kVectors];
    for (size_t v = 0; v < kVectors; ++v) sums[0][v] = sums[1][v] = _mm256_setzero_si256();
    const int16_t* at = keys + key * 4;
    const int16_t* rows = queries;
    for (size_t step = 0; step < dim / 4; ++step, at += kStepNumbers, rows += kStepNumbers) {
#pragma GCC unroll 2
      for (size_t pair = 0; pair < 2; ++pair) {
        const __m256i one = BroadcastPair(at + pair * 2);
        const __m256i other = BroadcastPair(at + pair * 2 + 4);
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; ++v) {
          const __m256i q = LoadRows(rows + v / 2 * kQuarterTokens * dim + (pair * kQuarterTokens + v % 2 * kVector) * 2);
          AddPairs(q, one, &sums[0][v]);
          AddPairs(q, other, &sums[1][v]);
        }
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
    _mm256_store_si256(reinterpret_cast<__m256i*>(keys + i), LoadBytes(quarter.bytes + i));
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

void ByteMaximumOfRow(const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  constexpr size_t kKeys = 4;  // of a vector: two sums of pairs each
  __m256i sums[kQuarterTokens / kKeys];
  for (__m256i& four_keys : sums) four_keys = _mm256_setzero_si256();
  for (size_t d = 0; d < queries.dim(); d += 4) {
    const __m256i q = BroadcastFour(queries.pairs() + d);
#pragma GCC unroll 4
    for (size_t v = 0; v < kQuarterTokens / kKeys; ++v) {
      const __m256i keys = LoadBytes(quarter.bytes + d * kQuarterTokens + v * kKeys * 4);
      sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(q, keys));
    }
  }
  const __m256i best = _mm256_max_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
  *largest = static_cast<float>(LargestOfEight(best)) * (*queries.scales() * quarter.scale);
}

}  // namespace damask::kernels::avx2
