// Byte products of AVX-512 VNNI. Many rows: lanes are rows and a key's numbers are broadcast, so that maxima run down columns;
// a single row: lanes are the 16 keys.
#include <immintrin.h>

#include <cstring>
#include <limits>

#include "kernels/byte_scores_targets.h"

namespace damask::kernels::avx512vnni {
namespace {

constexpr size_t kStepBytes = 4 * kQuarterTokens;
constexpr size_t kVector = 16;  // rows of a vector of sums
// Steps at a time, of a `dim` that is a multiple of 16: so that the sums stay in their registers.
constexpr size_t kUnrolled = 4;
// 2 keys x 4 vectors of rows: 8 sums, 4 maxima, 4 queries and 2 keys of 32 registers, and queries are loaded once for both
// keys.
constexpr size_t kMaxVectors = 4;

int32_t FourBytes(const void* bytes) {
  int32_t four;
  std::memcpy(&four, bytes, sizeof(four));
  return four;
}

// Rows [kVectors * 16] from `queries` on, [kVectors][dim / 4][16][4].
template <size_t kVectors>
void Maxima(const ByteQuarter& quarter, size_t dim, const uint8_t* queries, const float* scales, float* largest) {
  __m512i best[kVectors];
  for (__m512i& lanes : best) lanes = _mm512_set1_epi32(std::numeric_limits<int32_t>::min());
  for (size_t key = 0; key < kQuarterTokens; key += 2) {
    __m512i sums[2][kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      sums[0][v] = _mm512_set1_epi32(quarter.offsets[key]);
      sums[1][v] = _mm512_set1_epi32(quarter.offsets[key + 1]);
    }
    for (size_t first = 0; first < dim / 4; first += kUnrolled) {
#pragma GCC unroll 4
      for (size_t i = 0; i < kUnrolled; ++i) {
        const size_t step = first + i;
        const int8_t* const bytes = quarter.bytes + step * kStepBytes + key * 4;
        const __m512i one = _mm512_set1_epi32(FourBytes(bytes));
        const __m512i other = _mm512_set1_epi32(FourBytes(bytes + 4));
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; ++v) {
          const __m512i q = _mm512_loadu_si512(queries + v * kVector * dim + step * kStepBytes);
          sums[0][v] = _mm512_dpbusd_epi32(sums[0][v], q, one);
          sums[1][v] = _mm512_dpbusd_epi32(sums[1][v], q, other);
        }
      }
    }
    for (size_t v = 0; v < kVectors; ++v) {
      best[v] = _mm512_max_epi32(best[v], _mm512_max_epi32(sums[0][v], sums[1][v]));
    }
  }
  for (size_t v = 0; v < kVectors; ++v) {
    const __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(scales + v * kVector), _mm512_set1_ps(quarter.scale));
    _mm512_storeu_ps(largest + v * kVector, _mm512_mul_ps(_mm512_cvtepi32_ps(best[v]), scale));
  }
}

}  // namespace

void ByteMaximaOfRows(const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  const size_t dim = queries.dim();
  size_t lane = 0;
  for (; lane + kMaxVectors * kVector <= queries.lanes(); lane += kMaxVectors * kVector) {
    Maxima<kMaxVectors>(quarter, dim, queries.bytes() + lane * dim, queries.scales() + lane, largest + lane);
  }
  for (; lane < queries.lanes(); lane += kVector) {
    Maxima<1>(quarter, dim, queries.bytes() + lane * dim, queries.scales() + lane, largest + lane);
  }
}

void ByteMaximumOfRow(const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  __m512i sums = _mm512_loadu_si512(quarter.offsets);
  for (size_t step = 0; step < queries.dim() / 4; ++step) {
    const __m512i q = _mm512_set1_epi32(FourBytes(queries.bytes() + step * 4));
    sums = _mm512_dpbusd_epi32(sums, q, _mm512_loadu_si512(quarter.bytes + step * kStepBytes));
  }
  *largest = static_cast<float>(_mm512_reduce_max_epi32(sums)) * (*queries.scales() * quarter.scale);
}

}  // namespace damask::kernels::avx512vnni
