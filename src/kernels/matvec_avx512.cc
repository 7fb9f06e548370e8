// Decode with AVX-512 VNNI: 8-bit weights, and nibbles with even steps. Other formats: matvec_tables_avx512.cc,
// matvec_pairs_avx512.cc.
#include "kernels/matvec_avx512-inl.h"

namespace damask::kernels::avx512vnni {
namespace {

// Of Q8_0, whose single rows (M = 1) run at the speed of memory. Zen 4 decodes 14 % faster with 192 bytes ahead than with 2048
// (1024: 4 %, 512: 8 %, none at all: 9 %); a Xeon with AMX 2 % faster with 1024 than with 192 or 2048 (2026-11-29).
template <size_t M>
void PrefetchQ8(const std::byte* at) {
  if constexpr (M > 1) return Prefetch(at);
  Prefetch(at, OnIntel() ? 1024 : 192);
}

// Scales `first` and `second`, eight lanes each.
__m512 SpreadEights(__m512 scales, int first, int second) {
  const __m512i lanes = _mm512_setr_epi32(first, first, first, first, first, first, first, first, second, second, second,
                                          second, second, second, second, second);
  return _mm512_permutexvar_ps(lanes, scales);
}

// The first four bytes of four blocks.
template <size_t kStride>
__m128i FourWords(const std::byte* row) {
  const auto at = [row](size_t i) { return ReadAs<int32_t>(row + i * kStride); };
  __m128i words = _mm_cvtsi32_si128(at(0));
  words = _mm_insert_epi32(words, at(1), 1);
  words = _mm_insert_epi32(words, at(2), 2);
  return _mm_insert_epi32(words, at(3), 3);
}

// Scale and minimum of sixteen blocks.
template <size_t kStride>
__m512i WordsOfBlocks(const std::byte* row) {
  __m512i words = _mm512_castsi128_si512(FourWords<kStride>(row));
  words = _mm512_inserti32x4(words, FourWords<kStride>(row + 4 * kStride), 1);
  words = _mm512_inserti32x4(words, FourWords<kStride>(row + 8 * kStride), 2);
  return _mm512_inserti32x4(words, FourWords<kStride>(row + 12 * kStride), 3);
}

// Blocks of 32 numbers in nibbles, perhaps with a fifth bit and a minimum: Q4_0, Q4_1, Q5_0, Q5_1.
template <bool kMinimum, bool kFifthBit>
struct SmallBlocks {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 512;
  static constexpr size_t kHeader = 2 + (kMinimum ? 2 : 0);
  static constexpr size_t kBlockBytes = kHeader + (kFifthBit ? 4 : 0) + 16;
  static constexpr size_t kStepBytes = 16 * kBlockBytes;
  // 8 or 16 is subtracted where there is no minimum.
  static constexpr int kOffsetShift = kMinimum ? kNoOffset : kFifthBit ? 4 : 3;

  // Bits of four blocks, 16 from each, as a mask of 64 bytes.
  static __mmask64 FifthBits(const std::byte* at) {
    return static_cast<uint64_t>(ReadAs<uint16_t>(at)) | (static_cast<uint64_t>(ReadAs<uint16_t>(at + kBlockBytes)) << 16) |
           (static_cast<uint64_t>(ReadAs<uint16_t>(at + 2 * kBlockBytes)) << 32) |
           (static_cast<uint64_t>(ReadAs<uint16_t>(at + 3 * kBlockBytes)) << 48);
  }

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    __m512 scales;
    __m512 minima;
    if constexpr (kMinimum) {
      const __m512i words = WordsOfBlocks<kBlockBytes>(row);
      scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
      minima = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
    } else {
      scales = HalvesOfBlocks<kBlockBytes>(row);
      minima = _mm512_setzero_ps();
    }
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      const size_t at = ((m + r) * d.stride + begin) / kDecodeBlock;
      both[r] = _mm512_mul_ps(scales, _mm512_loadu_ps(d.scale.data() + at));
      if constexpr (kMinimum)
        sums[r].minima = _mm512_fmadd_ps(minima, _mm512_loadu_ps(d.scaled_sum.data() + at), sums[r].minima);
    }
#pragma GCC unroll 4
    for (size_t quad = 0; quad < 4; ++quad) {
      const std::byte* blocks = row + quad * 4 * kBlockBytes;
      Prefetch(blocks);
      const __m512i packed = SixteensOfBlocks<kBlockBytes>(blocks + kBlockBytes - 16);
      __m512i low = LowNibbles(packed);
      __m512i high = HighNibbles(packed);
      if constexpr (kFifthBit) {
        const __m512i bit = _mm512_set1_epi8(16);
        low = _mm512_mask_add_epi8(low, FifthBits(blocks + kHeader), low, bit);
        high = _mm512_mask_add_epi8(high, FifthBits(blocks + kHeader + 2), high, bit);
      }
      AddFourBlocks<kOffsetShift, M>(low, high, d, m, begin + quad * 128, both, static_cast<int>(quad) * 4, sums);
    }
  }
};

struct Q8_0 {
  static constexpr size_t kRows = kRowsOfPlain;
  static constexpr size_t kStepNumbers = 512;
  static constexpr size_t kStepBytes = 16 * 34;

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    const __m512 scales = HalvesOfBlocks<34>(row);
    __m512 both[M];
#pragma GCC unroll 8
    for (size_t r = 0; r < M; ++r) {
      both[r] = _mm512_mul_ps(scales, _mm512_loadu_ps(d.scale.data() + ((m + r) * d.stride + begin) / kDecodeBlock));
    }
    // Four blocks at a time, so that two products of bytes share one conversion and one scale.
#pragma GCC unroll 4
    for (size_t quad = 0; quad < 4; ++quad) {
      const std::byte* blocks = row + quad * 4 * 34;
      PrefetchQ8<M>(blocks);
      PrefetchQ8<M>(blocks + 68);
      const __m512i sign = _mm512_set1_epi8(-128);
      const __m512i first = _mm512_xor_si512(SixteensOfBlocks<34>(blocks + 2), sign);
      const __m512i last = _mm512_xor_si512(SixteensOfBlocks<34>(blocks + 18), sign);
      AddFourBlocks<7, M>(first, last, d, m, begin + quad * 128, both, static_cast<int>(quad) * 4, sums);
    }
  }
};

// Q4_K and Q5_K: super-blocks of 256 with 6-bit scales and minima.
template <bool kFifthBit>
struct NibbleSuperBlocks {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 256;
  static constexpr size_t kStepBytes = kFifthBit ? 176 : 144;

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    // Scales in lanes 0..7, minima in lanes 8..15.
    const __m512 scales = ScaledKScales(UnpackKScales(row), _mm_cvtph_ps(_mm_cvtsi32_si128(ReadAs<int32_t>(row))));
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      const size_t at = ((m + r) * d.stride + begin) / kDecodeBlock;
      const __m512 of_row = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(d.scale.data() + at)),
                                               _mm256_loadu_ps(d.scaled_sum.data() + at), 1);
      both[r] = _mm512_mul_ps(scales, of_row);
      // Lanes 8..15 are the minima's share.
      sums[r].minima = _mm512_mask_sub_ps(sums[r].minima, 0xff00, sums[r].minima, both[r]);
    }
    __m512i fifth = _mm512_setzero_si512();
    if constexpr (kFifthBit) fifth = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 16)));
    const std::byte* nibbles = row + kStepBytes - 128;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Prefetch(nibbles + half * 64);
      const __m512i packed = _mm512_loadu_si512(nibbles + half * 64);
      // Sub-blocks 4 half and 4 half + 2 in the low, 4 half + 1 and 4 half + 3 in the high nibbles.
      __m512i numbers[2] = {LowNibbles(packed), HighNibbles(packed)};
      if constexpr (kFifthBit) {
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; ++odd) {
          const __m512i bits = _mm512_inserti64x4(_mm512_set1_epi8(static_cast<char>(1u << (4 * half + odd))),
                                                  _mm256_set1_epi8(static_cast<char>(1u << (4 * half + odd + 2))), 1);
          numbers[odd] =
              _mm512_mask_add_epi8(numbers[odd], _mm512_test_epi8_mask(fifth, bits), numbers[odd], _mm512_set1_epi8(16));
        }
      }
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) {
#pragma GCC unroll 4
        for (size_t r = 0; r < M; ++r) {
          const size_t at = (m + r) * d.stride + begin + static_cast<size_t>(half) * 128 + static_cast<size_t>(odd) * 64;
          const __m512i dots =
              _mm512_dpbusd_epi32(_mm512_setzero_si512(), numbers[odd], _mm512_loadu_si512(d.pairs.data() + at));
          const __m512 scale = SpreadEights(both[r], 4 * half + odd, 4 * half + odd + 2);
          sums[r].products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), scale, sums[r].products);
        }
      }
    }
  }
};

struct Q6_K {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 256;
  static constexpr size_t kStepBytes = 210;

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    const __m128 factor = _mm_cvtph_ps(_mm_cvtsi32_si128(ReadAs<uint16_t>(row + 208)));
    const __m512 integers =
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 192))));
    const __m512 scales = _mm512_mul_ps(integers, _mm512_broadcastss_ps(factor));
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      const size_t at = ((m + r) * d.stride + begin) / kDecodeBlock;
      both[r] = _mm512_mul_ps(scales, SpreadTwice(_mm256_loadu_ps(d.scale.data() + at)));
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Prefetch(row + half * 128);
      Prefetch(row + half * 128 + 64);
      const SixBits six = UnpackSixBits(row, half);
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
#pragma GCC unroll 4
        for (size_t r = 0; r < M; ++r) {
          const size_t at = (m + r) * d.stride + begin + static_cast<size_t>(half) * 128 + static_cast<size_t>(part) * 64;
          const __m512i start = _mm512_slli_epi32(_mm512_loadu_si512(d.natural_sums.data() + at / 4), 5);
          const __m512i dots = _mm512_dpbusd_epi32(start, six.numbers[part], _mm512_loadu_si512(d.natural.data() + at));
          sums[r].products =
              _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), SpreadFours(both[r], 8 * half + 4 * part), sums[r].products);
        }
      }
    }
  }
};

}  // namespace

void MultiplyDecode(const Product& product, const Part& part, Scratch* /*scratch*/) {
  using formats::TensorType;
  switch (product.w->type) {
    case TensorType::kQ8_0: MultiplyRows<Q8_0>(product, part); return;
    case TensorType::kQ4_0: MultiplyRows<SmallBlocks<false, false>>(product, part); return;
    case TensorType::kQ4_1: MultiplyRows<SmallBlocks<true, false>>(product, part); return;
    case TensorType::kQ5_0: MultiplyRows<SmallBlocks<false, true>>(product, part); return;
    case TensorType::kQ5_1: MultiplyRows<SmallBlocks<true, true>>(product, part); return;
    case TensorType::kQ4_K: MultiplyRows<NibbleSuperBlocks<false>>(product, part); return;
    case TensorType::kQ5_K: MultiplyRows<NibbleSuperBlocks<true>>(product, part); return;
    case TensorType::kQ6_K: MultiplyRows<Q6_K>(product, part); return;
    case TensorType::kIQ4_NL:
    case TensorType::kIQ4_XS:
    case TensorType::kMXFP4: MultiplyTableDecode(product, part); return;
    case TensorType::kQ2_K:
    case TensorType::kQ3_K: MultiplyPairDecode(product, part); return;
    default: return;
  }
}

}  // namespace damask::kernels::avx512vnni
