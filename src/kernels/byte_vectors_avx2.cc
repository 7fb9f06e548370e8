// Products of 16-bit pairs, which every CPU with AVX2 has: a group's bytes are widened once for all rows, lanes are four
// vectors of two sums each, and two rows' numbers are broadcast beside each other.
#include <immintrin.h>

#include <limits>

#include "kernels/byte_vectors-inl.h"
#include "kernels/pairs_avx2-inl.h"

namespace damask::kernels::avx2 {
namespace {

constexpr size_t kQuads = 4;  // of four vectors in a group
constexpr size_t kStepNumbers = 4 * kByteGroup;

class PairsGroup {
 public:
  static constexpr size_t kRowsTogether = 2;

  // Of eight vectors.
  struct Half {
    __m256 sums;
    __m256 scales;
  };
  struct Products {
    Half low;
    Half high;
  };

  class Largest {
   public:
    [[gnu::always_inline]] void Take(const Products& x, float bound) {
      const __m256 bounds = _mm256_set1_ps(bound);
      low_ = _mm256_max_ps(low_, _mm256_fmsub_ps(x.low.sums, x.low.scales, bounds));
      high_ = _mm256_max_ps(high_, _mm256_fmsub_ps(x.high.sums, x.high.scales, bounds));
    }
    void Store(float* out) const {
      _mm256_storeu_ps(out, low_);
      _mm256_storeu_ps(out + 8, high_);
    }

   private:
    __m256 low_ = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
    __m256 high_ = low_;
  };

  PairsGroup(const ByteGroups& groups, size_t index, size_t dim) : dim_(dim), scales_(groups.scales + index * kByteGroup) {
    const int8_t* const bytes = groups.bytes + index * dim * kByteGroup;
    for (size_t i = 0; i < dim * kByteGroup; i += 16) {
      const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
      _mm256_store_si256(reinterpret_cast<__m256i*>(numbers_ + i), _mm256_cvtepi8_epi16(sixteen));
    }
  }

  template <size_t kRows>
  [[gnu::always_inline]] void Multiply(const ByteQueries& rows, size_t first, Products (&products)[kRows]) const {
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

  [[gnu::always_inline]] static void Scores(const Products& x, float* out) {
    _mm256_storeu_ps(out, _mm256_mul_ps(x.low.sums, x.low.scales));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(x.high.sums, x.high.scales));
  }

 private:
  // Sums of neighbours, in the order of the vectors.
  static Half Together(__m256i a, __m256i b, __m256 scale, const float* scales) {
    const __m256i sums = _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
    return {_mm256_cvtepi32_ps(sums), _mm256_mul_ps(scale, _mm256_loadu_ps(scales))};
  }

  size_t dim_;
  const float* scales_;
  alignas(32) int16_t numbers_[kMaxByteDim * kByteGroup];
};

}  // namespace

void VectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  ScoresOfGroups<PairsGroup>(groups, rows, scores, stride);
}

void VectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  BestOfGroups<PairsGroup>(groups, rows, bounds, best);
}

}  // namespace damask::kernels::avx2
