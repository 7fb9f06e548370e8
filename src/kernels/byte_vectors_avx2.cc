// Products of 16-bit pairs, which every CPU with AVX2 has: a group's bytes are widened once for all rows, lanes are four
// vectors of two sums each, and two rows' numbers are broadcast beside each other.
#include <immintrin.h>

#include <limits>

#include "kernels/byte_vectors_targets.h"
#include "kernels/pairs_avx2-inl.h"

namespace damask::kernels::avx2 {
namespace {

constexpr size_t kQuads = 4;  // of four vectors in a group
constexpr size_t kStepNumbers = 4 * kByteGroup;

// Exact products of eight vectors' bytes, and what makes scores of them.
struct Products {
  __m256 sums;
  __m256 scales;
};

// Of a row and a group.
struct Halves {
  Products low;
  Products high;
};

class Group {
 public:
  Group(const ByteGroups& groups, size_t index, size_t dim) : dim_(dim), scales_(groups.scales + index * kByteGroup) {
    const int8_t* const bytes = groups.bytes + index * dim * kByteGroup;
    for (size_t i = 0; i < dim * kByteGroup; i += 16) {
      const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
      _mm256_store_si256(reinterpret_cast<__m256i*>(numbers_ + i), _mm256_cvtepi8_epi16(sixteen));
    }
  }

  // Of kRows rows from `first` on.
  template <size_t kRows>
  [[gnu::always_inline]] void Multiply(const ByteRows& rows, size_t first, Halves (&products)[kRows]) const {
    const int16_t* const q = rows.pairs() + first * dim_;
    __m256i sums[kRows][kQuads];
    for (auto& row : sums) {
      for (__m256i& sum : row) sum = _mm256_setzero_si256();
    }
    for (size_t d = 0; d < dim_; d += 4) {
      __m256i four[kRows];
      for (size_t r = 0; r < kRows; ++r) four[r] = BroadcastFour(q + r * dim_ + d);
#pragma GCC unroll 4
      for (size_t v = 0; v < kQuads; ++v) {
        const __m256i vectors =
            _mm256_load_si256(reinterpret_cast<const __m256i*>(numbers_ + d / 4 * kStepNumbers + v * kStepNumbers / kQuads));
        for (size_t r = 0; r < kRows; ++r) AddPairs(vectors, four[r], &sums[r][v]);
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      const __m256 scale = _mm256_set1_ps(rows.scales()[first + r]);
      products[r].low = Together(sums[r][0], sums[r][1], scale, scales_);
      products[r].high = Together(sums[r][2], sums[r][3], scale, scales_ + 8);
    }
  }

 private:
  // Sums of neighbours, in the order of the vectors.
  static Products Together(__m256i a, __m256i b, __m256 scale, const float* scales) {
    const __m256i sums = _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
    return {_mm256_cvtepi32_ps(sums), _mm256_mul_ps(scale, _mm256_loadu_ps(scales))};
  }

  size_t dim_;
  const float* scales_;
  alignas(32) int16_t numbers_[kMaxByteDim * kByteGroup];
};

// use(row, products) for every row.
template <typename Use>
[[gnu::always_inline]] inline void ForRows(const Group& group, const ByteRows& rows, const Use& use) {
  size_t row = 0;
  for (; row + 2 <= rows.rows(); row += 2) {
    Halves products[2];
    group.Multiply(rows, row, products);
    for (size_t r = 0; r < 2; ++r) use(row + r, products[r]);
  }
  if (row < rows.rows()) {
    Halves products[1];
    group.Multiply(rows, row, products);
    use(row, products[0]);
  }
}

}  // namespace

void VectorScores(const ByteGroups& groups, const ByteRows& rows, float* scores, size_t stride) {
  for (size_t i = 0; i < groups.count; ++i) {
    float* const out = scores + i * kByteGroup;
    ForRows(
        Group(groups, i * groups.step, rows.dim()), rows, [&](size_t row, const Halves& x) __attribute__((always_inline)) {
          _mm256_storeu_ps(out + row * stride, _mm256_mul_ps(x.low.sums, x.low.scales));
          _mm256_storeu_ps(out + row * stride + 8, _mm256_mul_ps(x.high.sums, x.high.scales));
        });
  }
}

void VectorBest(const ByteGroups& groups, const ByteRows& rows, const float* bounds, float* best) {
  for (size_t i = 0; i < groups.count; ++i) {
    __m256 low = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
    __m256 high = low;
    ForRows(
        Group(groups, i * groups.step, rows.dim()), rows, [&](size_t row, const Halves& x) __attribute__((always_inline)) {
          const __m256 bound = _mm256_set1_ps(bounds[row]);
          low = _mm256_max_ps(low, _mm256_fmsub_ps(x.low.sums, x.low.scales, bound));
          high = _mm256_max_ps(high, _mm256_fmsub_ps(x.high.sums, x.high.scales, bound));
        });
    _mm256_storeu_ps(best + i * kByteGroup, low);
    _mm256_storeu_ps(best + i * kByteGroup + 8, high);
  }
}

}  // namespace damask::kernels::avx2
