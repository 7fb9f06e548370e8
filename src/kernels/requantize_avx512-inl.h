// From the file's blocks straight to the 8-bit weights of a prefill panel, for the types that most files are made of. A detour
// over floats costs twice the time, and unpacking is a tenth of a prefill of 512 tokens.
//
// Out: per 64 numbers one scale, and bytes b with weight = scale * (b - 128). The scale follows from the blocks' own scales
// (from the largest number that the block could hold), not from a search through the numbers; files are encoded so that blocks
// use their range. Q8_0 is seen to hold whatever its writer liked (4-bit weights in bytes): blocks that leave their range
// unused are searched. A scale that is NaN or infinite stays so.
//
// In an unnamed namespace: compiled with wide instruction sets and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"
#include "kernels/blocks_avx512-inl.h"
#include "kernels/k_scales-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// Four vectors of 16 integers, saturated, to 64 bytes in order.
inline __m512i PackToBytes(const __m512i* v) {
  const __m512i packed = _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
  // The packs worked within 128-bit lanes: lane l holds fours l of each of the four vectors.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, packed);
}

inline __m512i Add128(__m512i bytes) { return _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)); }

// 32 numbers of 16 bits, within -128..127, to bytes with 128 added.
inline void StoreThirtyTwo(__m512i numbers, uint8_t* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm256_xor_si256(_mm512_cvtsepi16_epi8(numbers), _mm256_set1_epi8(-128)));
}

// The larger of numbers that are not negative; as integers they have the same order, with NaN above all, which max() forgets.
inline __m512 Larger(__m512 a, __m512 b) {
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline __m256 Larger(__m256 a, __m256 b) {
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}

struct RequantizedQ8_0 {
  static constexpr size_t kNumbers = 512;
  static constexpr size_t kBytes = 16 * 34;

  // Two blocks share a scale: the larger one's numbers stay as they are, the other's shrink.
  static void Step(const std::byte* row, uint8_t* out, float* scales) {
    const __m512 d = HalvesOfBlocks<34>(row);
    const __m512 size = _mm512_abs_ps(d);
    const __m512 largest = Larger(size, _mm512_permute_ps(size, 0xb1));
    const __mmask16 nonzero = _mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ);
    // 32767 stands for 1: a number up to 127 does not notice.
    const __m512 fixed = _mm512_min_ps(_mm512_mul_ps(_mm512_maskz_div_ps(nonzero, d, largest), _mm512_set1_ps(32768.0f)),
                                       _mm512_set1_ps(32767.0f));
    alignas(64) int32_t factor[16];
    _mm512_store_si512(factor, _mm512_cvtps_epi32(fixed));
    _mm256_storeu_ps(scales, _mm512_castps512_ps256(_mm512_maskz_compress_ps(0x5555, largest)));
    for (size_t pair = 0; pair < 8; ++pair) {
      const __m512i first = Shrunk(row + pair * 68, factor[2 * pair]);
      const __m512i second = Shrunk(row + pair * 68 + 34, factor[2 * pair + 1]);
      // Half of the range is a bit that rounding costs; less is too little.
      const __m512i sizes = _mm512_or_si512(_mm512_abs_epi16(first), _mm512_abs_epi16(second));
      if (_mm512_test_epi16_mask(sizes, _mm512_set1_epi16(0x7fc0)) == 0) {
        SearchPair(row + pair * 68, out + pair * 64, scales + pair);
        continue;
      }
      StoreThirtyTwo(first, out + pair * 64);
      StoreThirtyTwo(second, out + pair * 64 + 32);
    }
  }

  static __m512i Shrunk(const std::byte* block, int32_t factor) {
    const __m512i numbers = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 2)));
    return _mm512_mulhrs_epi16(numbers, _mm512_set1_epi16(static_cast<int16_t>(factor)));
  }

  // The scale of two blocks follows from their largest number.
  __attribute__((noinline)) static void SearchPair(const std::byte* blocks, uint8_t* out, float* scale) {
    __m512 x[4];
    __m512 largest = _mm512_setzero_ps();
    for (size_t i = 0; i < 4; ++i) {
      const std::byte* block = blocks + i / 2 * 34;
      const __m512 d = _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(ReadAs<uint16_t>(block))));
      const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2 + i % 2 * 16));
      x[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), d);
      largest = Larger(largest, _mm512_abs_ps(x[i]));
    }
    const float top = __builtin_bit_cast(float, _mm512_reduce_max_epi32(_mm512_castps_si512(largest)));
    *scale = top / 127;
    const __m512 inverse = _mm512_set1_ps(top > 0 ? 127 / top : 0.0f);
    __m512i v[4];
    for (size_t i = 0; i < 4; ++i) v[i] = _mm512_cvtps_epi32(_mm512_mul_ps(x[i], inverse));
    _mm512_storeu_si512(out, Add128(PackToBytes(v)));
  }
};

struct RequantizedQ4_K {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 144;

  // Each sub-block of 32 becomes a table of its sixteen numbers.
  static void Step(const std::byte* block, uint8_t* out, float* scales) {
    const __m512 both = ScaledKScales(UnpackKScales(block), _mm_cvtph_ps(_mm_cvtsi32_si128(ReadAs<int32_t>(block))));
    const __m256 step = _mm512_castps512_ps256(both);
    const __m256 minimum = _mm512_extractf32x8_ps(both, 1);
    const __m256 zero = _mm256_setzero_ps();
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 top = _mm256_fmsub_ps(_mm256_set1_ps(15.0f), step, minimum);
    const __m256 size = Larger(_mm256_andnot_ps(sign, top), _mm256_andnot_ps(sign, minimum));
    const __m256 largest = Larger(size, _mm256_permute_ps(size, 0xb1));
    const __mmask8 nonzero = _mm256_cmp_ps_mask(largest, zero, _CMP_GT_OQ);
    const __m256 inverse = _mm256_maskz_div_ps(nonzero, _mm256_set1_ps(127.0f), largest);
    alignas(32) float slope[8];
    alignas(32) float start[8];
    _mm256_store_ps(slope, _mm256_mul_ps(step, inverse));
    _mm256_store_ps(start, _mm256_mul_ps(_mm256_xor_ps(minimum, sign), inverse));
    const __m256 scale = _mm256_mul_ps(largest, _mm256_set1_ps(1.0f / 127));
    _mm_storeu_ps(scales, _mm256_castps256_ps128(_mm256_maskz_compress_ps(0x55, scale)));
    const __m512 count = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (size_t half = 0; half < 2; ++half) {
      __m512i v[4];
      for (size_t i = 0; i < 4; ++i) {
        v[i] = _mm512_cvtps_epi32(
            _mm512_fmadd_ps(count, _mm512_set1_ps(slope[half * 4 + i]), _mm512_set1_ps(start[half * 4 + i])));
      }
      const __m512i tables = Add128(PackToBytes(v));
      const std::byte* nibbles = block + 16 + half * 64;
      StoreSixtyFour(nibbles, _mm512_shuffle_i32x4(tables, tables, 0x50), out + half * 128);
      StoreSixtyFour(nibbles + 32, _mm512_shuffle_i32x4(tables, tables, 0xfa), out + half * 128 + 64);
    }
  }

  // The low nibbles of 32 bytes by the tables of the lower half, the high ones by the upper half's.
  static void StoreSixtyFour(const std::byte* nibbles, __m512i tables, uint8_t* out) {
    const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(nibbles));
    const __m512i spread = _mm512_inserti64x4(_mm512_castsi256_si512(raw), _mm256_srli_epi16(raw, 4), 1);
    _mm512_storeu_si512(out, _mm512_shuffle_epi8(tables, _mm512_and_si512(spread, _mm512_set1_epi8(15))));
  }
};

struct RequantizedQ6_K {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 210;

  // Four sub-blocks of 16 share a scale; their own are 8-bit integers, so d cancels out of the factors.
  static void Step(const std::byte* block, uint8_t* out, float* scales) {
    const __m512 own = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 192))));
    __m512 largest = _mm512_abs_ps(own);
    largest = Larger(largest, _mm512_permute_ps(largest, 0xb1));
    largest = Larger(largest, _mm512_permute_ps(largest, 0x4e));
    const __mmask16 nonzero = _mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ);
    // A factor is at most 127 / 32: 13 bits behind the point.
    const __m512 factor = _mm512_mul_ps(_mm512_maskz_div_ps(nonzero, own, largest), _mm512_set1_ps(8192.0f * 127 / 32));
    alignas(64) int32_t fixed[16];
    _mm512_store_si512(fixed, _mm512_cvtps_epi32(factor));
    const __m128 d = _mm_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(ReadAs<uint16_t>(block + 208))));
    const __m128 of_four = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, largest));
    _mm_storeu_ps(scales, _mm_mul_ps(_mm_mul_ps(of_four, _mm_set1_ps(32.0f / 127)), d));
    for (int half = 0; half < 2; ++half) {
      const SixBits unpacked = UnpackSixBits(block, half);
      for (int part = 0; part < 2; ++part) {
        const __m512i numbers = _mm512_sub_epi8(unpacked.numbers[part], _mm512_set1_epi8(32));
        const int32_t* factors = fixed + half * 8 + part * 4;
        uint8_t* to = out + half * 128 + part * 64;
        StoreThirtyTwo(Times(_mm512_castsi512_si256(numbers), factors), to);
        StoreThirtyTwo(Times(_mm512_extracti64x4_epi64(numbers, 1), factors + 2), to + 32);
      }
    }
  }

  // 32 numbers, each sixteen times its factor, rounded.
  static __m512i Times(__m256i numbers, const int32_t* factors) {
    const __m512i both = _mm512_inserti64x4(_mm512_set1_epi16(static_cast<int16_t>(factors[0])),
                                            _mm256_set1_epi16(static_cast<int16_t>(factors[1])), 1);
    const __m512i wide = _mm512_slli_epi16(_mm512_cvtepi8_epi16(numbers), 8);
    return _mm512_srai_epi16(_mm512_add_epi16(_mm512_mulhrs_epi16(wide, both), _mm512_set1_epi16(32)), 6);
  }
};

// Numbers [0, values) of a row, whole blocks of its type; `out` and `scales` have room for whole steps.
template <typename Format>
void RequantizeRow(formats::TensorType type, const std::byte* row, size_t values, uint8_t* out, float* scales) {
  size_t done = 0;
  for (; done + Format::kNumbers <= values; done += Format::kNumbers, row += Format::kBytes) {
    Format::Step(row, out + done, scales + done / 64);
  }
  if (done == values) return;
  // Fewer than a step: nothing may be read behind them, it may be the end of the file.
  std::byte last[Format::kBytes] = {};
  __builtin_memcpy(last, row, formats::RowBytes(type, values - done));
  Format::Step(last, out + done, scales + done / 64);
}

}  // namespace
}  // namespace damask::kernels
