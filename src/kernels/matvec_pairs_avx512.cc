// Decode with AVX-512 VNNI of super-blocks of 256 bit pairs with a scale for every 16: Q2_K, Q3_K.
#include "kernels/matvec_avx512-inl.h"

namespace damask::kernels::avx512vnni {
namespace {

// Two neighbouring 32s of the 128 numbers whose pairs lie in 32 bytes: 0 and 1, or 2 and 3.
__m512i TwoOfFour(__m512i pairs, int part) {
  const __m512i shift = _mm512_inserti64x4(_mm512_set1_epi16(static_cast<short>(4 * part)),
                                           _mm256_set1_epi16(static_cast<short>(4 * part + 2)), 1);
  return And(_mm512_srlv_epi16(pairs, shift), _mm512_set1_epi8(3));
}

__m512i BothHalves(const std::byte* at) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

__m512 HalfFloat(const std::byte* at) { return _mm512_set1_ps(Half(at)); }

__m128i SixteenBytes(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

// A minimum for every 16, to be subtracted.
struct Q2K {
  static constexpr size_t kStepBytes = 84;
  static constexpr size_t kPairs = 16;  // where they lie

  static __m512 Scales(const std::byte* row) {
    const __m128i integers = _mm_and_si128(SixteenBytes(row), _mm_set1_epi8(15));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(integers)), HalfFloat(row + 80));
  }
  static __m512 Minima(const std::byte* row, __m512 /*scales*/) {
    const __m128i integers = _mm_and_si128(_mm_srli_epi16(SixteenBytes(row), 4), _mm_set1_epi8(15));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(integers)), HalfFloat(row + 82));
  }
  static __m512i Numbers(const std::byte* /*row*/, __m512i pairs, int /*half*/, int part) { return TwoOfFour(pairs, part); }
};

// A third bit; what 4 too much brings is four times the scale.
struct Q3K {
  static constexpr size_t kStepBytes = 110;
  static constexpr size_t kPairs = 32;

  static __m512 Scales(const std::byte* row) {
    const SixteenScales own = UnpackQ3Scales(row);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(SixteenBytes(own.scales))), HalfFloat(row + 108));
  }
  static __m512 Minima(const std::byte* /*row*/, __m512 scales) { return _mm512_mul_ps(scales, _mm512_set1_ps(4.0f)); }
  static __m512i Numbers(const std::byte* row, __m512i pairs, int half, int part) {
    const int first = 4 * half + 2 * part;
    const __m512i bits = _mm512_inserti64x4(_mm512_set1_epi8(static_cast<char>(1u << first)),
                                            _mm256_set1_epi8(static_cast<char>(1u << (first + 1))), 1);
    const __m512i low = TwoOfFour(pairs, part);
    return _mm512_mask_add_epi8(low, _mm512_test_epi8_mask(BothHalves(row), bits), low, _mm512_set1_epi8(4));
  }
};

template <typename Blocks>
struct PairSuperBlocks {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 256;
  static constexpr size_t kStepBytes = Blocks::kStepBytes;

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    const __m512 scales = Blocks::Scales(row);
    const __m512 minima = Blocks::Minima(row, scales);
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      const size_t at = (m + r) * d.stride + begin;
      const __m512 of_row = SpreadTwice(_mm256_loadu_ps(d.scale.data() + at / kDecodeBlock));
      both[r] = _mm512_mul_ps(scales, of_row);
      const __m256i of_sixteen = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(d.sixteen_sums.data() + at / 16));
      const __m512 activations = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(of_sixteen)), of_row);
      sums[r].minima = _mm512_fnmadd_ps(minima, activations, sums[r].minima);
    }
    Prefetch(row);
    Prefetch(row + 64);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i pairs = BothHalves(row + Blocks::kPairs + half * 32);
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
        const __m512i numbers = Blocks::Numbers(row, pairs, half, part);
#pragma GCC unroll 4
        for (size_t r = 0; r < M; ++r) {
          const size_t at = (m + r) * d.stride + begin + static_cast<size_t>(half) * 128 + static_cast<size_t>(part) * 64;
          const __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), numbers, _mm512_loadu_si512(d.natural.data() + at));
          sums[r].products =
              _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), SpreadFours(both[r], 8 * half + 4 * part), sums[r].products);
        }
      }
    }
  }
};

}  // namespace

void MultiplyPairDecode(const Product& product, const Part& part) {
  using formats::TensorType;
  switch (product.w->type) {
    case TensorType::kQ2_K: MultiplyRows<PairSuperBlocks<Q2K>>(product, part); return;
    case TensorType::kQ3_K: MultiplyRows<PairSuperBlocks<Q3K>>(product, part); return;
    default: return;
  }
}

}  // namespace damask::kernels::avx512vnni
