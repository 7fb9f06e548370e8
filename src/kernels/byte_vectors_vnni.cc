// Byte products of AVX-512 VNNI: lanes are the 16 vectors of a group, four rows' numbers are broadcast beside each other.
#include <immintrin.h>

#include <cstring>
#include <limits>

#include "kernels/byte_vectors-inl.h"

namespace damask::kernels::avx512vnni {
namespace {

constexpr size_t kStepBytes = 4 * kByteGroup;

class VnniGroup {
 public:
  static constexpr size_t kRowsTogether = 4;

  struct Products {
    __m512 sums;
    __m512 scales;
  };

  class Largest {
   public:
    [[gnu::always_inline]] void Take(const Products& x, float bound) {
      largest_ = _mm512_max_ps(largest_, _mm512_fmsub_ps(x.sums, x.scales, _mm512_set1_ps(bound)));
    }
    void Store(float* out) const { _mm512_storeu_ps(out, largest_); }

   private:
    __m512 largest_ = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  };

  VnniGroup(const ByteGroups& groups, size_t index, size_t dim)
      : bytes_(groups.bytes + index * dim * kByteGroup),
        offsets_(_mm512_loadu_si512(groups.offsets + index * kByteGroup)),
        scales_(_mm512_loadu_ps(groups.scales + index * kByteGroup)) {}

  template <size_t kRows>
  [[gnu::always_inline]] void Multiply(const ByteQueries& rows, size_t first, Products (&products)[kRows]) const {
    const size_t dim = rows.dim();
    const uint8_t* const q = rows.bytes() + first * dim;
    __m512i sums[kRows];
    for (__m512i& sum : sums) sum = offsets_;
    for (size_t d = 0; d < dim; d += 4) {
      const __m512i vectors = _mm512_loadu_si512(bytes_ + d / 4 * kStepBytes);
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) {
        int32_t four;
        std::memcpy(&four, q + r * dim + d, sizeof(four));
        sums[r] = _mm512_dpbusd_epi32(sums[r], _mm512_set1_epi32(four), vectors);
      }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      products[r] = {_mm512_cvtepi32_ps(sums[r]), _mm512_mul_ps(_mm512_set1_ps(rows.scales()[first + r]), scales_)};
    }
  }

  [[gnu::always_inline]] static void Scores(const Products& x, float* out) {
    _mm512_storeu_ps(out, _mm512_mul_ps(x.sums, x.scales));
  }

 private:
  const int8_t* bytes_;
  __m512i offsets_;
  __m512 scales_;
};

}  // namespace

void VectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  ScoresOfGroups<VnniGroup>(groups, rows, scores, stride);
}

void VectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  BestOfGroups<VnniGroup>(groups, rows, bounds, best);
}

}  // namespace damask::kernels::avx512vnni
