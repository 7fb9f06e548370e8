// Byte products of AVX-512 VNNI: lanes are the 16 vectors of a group, four rows' numbers are broadcast beside each other.
#include <immintrin.h>

#include <cstring>
#include <limits>

#include "kernels/byte_vectors_targets.h"

namespace damask::kernels::avx512bf16 {
namespace {

constexpr size_t kStepBytes = 4 * kByteGroup;

struct Group {
  Group(const ByteGroups& groups, size_t index, size_t dim)
      : bytes(groups.bytes + index * dim * kByteGroup),
        offsets(_mm512_loadu_si512(groups.offsets + index * kByteGroup)),
        scales(_mm512_loadu_ps(groups.scales + index * kByteGroup)) {}
  const int8_t* bytes;
  __m512i offsets;
  __m512 scales;
};

// Exact products of bytes, and what makes scores of them.
struct Products {
  __m512 sums;
  __m512 scales;
};

// Rows [first, first + kRows).
template <size_t kRows>
[[gnu::always_inline]] inline void MultiplyGroup(const Group& group, const ByteRows& rows, size_t first,
                                                 Products (&products)[kRows]) {
  const size_t dim = rows.dim();
  const uint8_t* const q = rows.bytes() + first * dim;
  __m512i sums[kRows];
  for (__m512i& sum : sums) sum = group.offsets;
  for (size_t d = 0; d < dim; d += 4) {
    const __m512i vectors = _mm512_loadu_si512(group.bytes + d / 4 * kStepBytes);
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      int32_t four;
      std::memcpy(&four, q + r * dim + d, sizeof(four));
      sums[r] = _mm512_dpbusd_epi32(sums[r], _mm512_set1_epi32(four), vectors);
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
    products[r] = {_mm512_cvtepi32_ps(sums[r]), _mm512_mul_ps(_mm512_set1_ps(rows.scales()[first + r]), group.scales)};
  }
}

// use(row, products) for every row.
template <typename Use>
[[gnu::always_inline]] inline void ForRows(const Group& group, const ByteRows& rows, const Use& use) {
  constexpr size_t kTogether = 4;
  size_t row = 0;
  for (; row + kTogether <= rows.rows(); row += kTogether) {
    Products products[kTogether];
    MultiplyGroup(group, rows, row, products);
    for (size_t r = 0; r < kTogether; ++r) use(row + r, products[r]);
  }
  for (; row < rows.rows(); ++row) {
    Products products[1];
    MultiplyGroup(group, rows, row, products);
    use(row, products[0]);
  }
}

}  // namespace

void VectorScores(const ByteGroups& groups, const ByteRows& rows, float* scores, size_t stride) {
  for (size_t i = 0; i < groups.count; ++i) {
    float* const out = scores + i * kByteGroup;
    ForRows(
        Group(groups, i * groups.step, rows.dim()), rows, [&](size_t row, const Products& x) __attribute__((always_inline)) {
          _mm512_storeu_ps(out + row * stride, _mm512_mul_ps(x.sums, x.scales));
        });
  }
}

void VectorBest(const ByteGroups& groups, const ByteRows& rows, const float* bounds, float* best) {
  for (size_t i = 0; i < groups.count; ++i) {
    __m512 largest = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    ForRows(
        Group(groups, i * groups.step, rows.dim()), rows, [&](size_t row, const Products& x) __attribute__((always_inline)) {
          largest = _mm512_max_ps(largest, _mm512_fmsub_ps(x.sums, x.scales, _mm512_set1_ps(bounds[row])));
        });
    _mm512_storeu_ps(best + i * kByteGroup, largest);
  }
}

}  // namespace damask::kernels::avx512bf16
