// Rows of every weight type to floats, written once for AVX2 and AVX-512. The including file gives, in an unnamed namespace of
// DAMASK_TARGET:
//   Scalar                                    a factor in every lane, with Scalar Broadcast(float)
//   Store16(numbers, scale, minimum, out)     16 signed bytes times scale plus minimum
//   StoreScaled16(numbers, scale, out)        the same without a minimum
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/iq4_values.h"
#include "kernels/k_scales-inl.h"
#include "kernels/mxfp4-inl.h"
#include "kernels/quant_read-inl.h"
#include "kernels/quant_targets.h"

namespace damask::kernels::DAMASK_TARGET {
namespace {

using formats::TensorType;

__m128i Load16(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

// Bit i of `bits` as 16 in byte i.
__m128i SpreadBits(uint32_t bits) {
  const __m128i word = _mm_set1_epi16(static_cast<short>(bits & 0xffffu));
  const __m128i bytes = _mm_shuffle_epi8(word, _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
  const __m128i select = _mm_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(bytes, select), select), _mm_set1_epi8(16));
}

template <bool kMinimum, bool kFifthBit, int kOffset>
void SmallBlocks(const std::byte* row, size_t values, float* out) {
  const __m128i mask = _mm_set1_epi8(15);
  for (size_t begin = 0; begin < values; begin += 32) {
    const Scalar scale = Broadcast(Half(row));
    row += 2;
    Scalar minimum = Broadcast(0.0f);
    if constexpr (kMinimum) {
      minimum = Broadcast(Half(row));
      row += 2;
    }
    uint32_t fifth = 0;
    if constexpr (kFifthBit) {
      fifth = ReadAs<uint32_t>(row);
      row += 4;
    }
    const __m128i packed = Load16(row);
    row += 16;
    __m128i low = _mm_and_si128(packed, mask);
    __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
    if constexpr (kFifthBit) {
      low = _mm_or_si128(low, SpreadBits(fifth));
      high = _mm_or_si128(high, SpreadBits(fifth >> 16));
    }
    if constexpr (kMinimum) {
      Store16(low, scale, minimum, out + begin);
      Store16(high, scale, minimum, out + begin + 16);
    } else {
      StoreScaled16(_mm_sub_epi8(low, _mm_set1_epi8(kOffset)), scale, out + begin);
      StoreScaled16(_mm_sub_epi8(high, _mm_set1_epi8(kOffset)), scale, out + begin + 16);
    }
  }
}

void Q8_0(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32, row += 34) {
    const Scalar scale = Broadcast(Half(row));
    StoreScaled16(Load16(row + 2), scale, out + begin);
    StoreScaled16(Load16(row + 18), scale, out + begin + 16);
  }
}

template <bool kFifthBit>
void NibbleSuperBlocks(const std::byte* row, size_t values, float* out) {
  const __m128i mask = _mm_set1_epi8(15);
  for (size_t begin = 0; begin < values; begin += 256) {
    const float d = Half(row);
    const float dmin = Half(row + 2);
    const KScales k = UnpackKScales(row);
    const std::byte* fifth = row + 16;
    const std::byte* nibbles = row + (kFifthBit ? 48 : 16);
    for (int sub = 0; sub < 8; ++sub) {
      const Scalar scale = Broadcast(d * static_cast<float>(k.scales[sub]));
      const Scalar minimum = Broadcast(-(dmin * static_cast<float>(k.minima[sub])));
      for (int half = 0; half < 2; ++half) {
        __m128i numbers = Load16(nibbles + (sub / 2) * 32 + half * 16);
        if (sub % 2 == 1) numbers = _mm_srli_epi16(numbers, 4);
        numbers = _mm_and_si128(numbers, mask);
        if constexpr (kFifthBit) {
          const __m128i bit = _mm_set1_epi8(static_cast<char>(1u << sub));
          const __m128i set = _mm_cmpeq_epi8(_mm_and_si128(Load16(fifth + half * 16), bit), bit);
          numbers = _mm_or_si128(numbers, _mm_and_si128(set, _mm_set1_epi8(16)));
        }
        Store16(numbers, scale, minimum, out + begin + static_cast<size_t>(sub) * 32 + static_cast<size_t>(half) * 16);
      }
    }
    row = nibbles + 128;
  }
}

void Q6_K(const std::byte* row, size_t values, float* out) {
  const __m128i mask = _mm_set1_epi8(15);
  const __m128i high_mask = _mm_set1_epi8(0x30);
  for (size_t begin = 0; begin < values; begin += 256, row += 210) {
    const float d = Half(row + 208);
    for (int i = 0; i < 16; ++i) {  // sixteen numbers that share a scale
      const int half = i / 8;
      const int quarter = i % 8 / 2;
      const int part = i % 2 * 16;
      __m128i low = Load16(row + half * 64 + (quarter % 2) * 32 + part);
      if (quarter >= 2) low = _mm_srli_epi16(low, 4);
      __m128i high = Load16(row + 128 + half * 32 + part);
      switch (quarter) {
        case 0: high = _mm_slli_epi16(high, 4); break;
        case 1: high = _mm_slli_epi16(high, 2); break;
        case 2: break;
        default: high = _mm_srli_epi16(high, 2); break;
      }
      const __m128i numbers = _mm_or_si128(_mm_and_si128(low, mask), _mm_and_si128(high, high_mask));
      const Scalar scale = Broadcast(d * static_cast<float>(static_cast<int8_t>(row[192 + i])));
      Store16(_mm_sub_epi8(numbers, _mm_set1_epi8(32)), scale, Broadcast(0.0f), out + begin + static_cast<size_t>(i) * 16);
    }
  }
}

// Sixteen numbers that share a scale in a super-block of Q2_K or Q3_K: bit pairs `i`, 0 to 15.
__m128i TwoBits(const std::byte* pairs, int i) {
  const __m128i shift = _mm_cvtsi32_si128(i % 8 / 2 * 2);
  return _mm_and_si128(_mm_srl_epi16(Load16(pairs + i / 8 * 32 + i % 2 * 16), shift), _mm_set1_epi8(3));
}

void Q2_K(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 84) {
    const float d = Half(row + 80);
    const float dmin = Half(row + 82);
    for (int i = 0; i < 16; ++i) {
      const auto both = static_cast<uint8_t>(row[i]);
      const Scalar scale = Broadcast(d * static_cast<float>(both & 15));
      const Scalar minimum = Broadcast(-(dmin * static_cast<float>(both >> 4)));
      Store16(TwoBits(row + 16, i), scale, minimum, out + begin + static_cast<size_t>(i) * 16);
    }
  }
}

void Q3_K(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 110) {
    const float d = Half(row + 108);
    const SixteenScales own = UnpackQ3Scales(row);
    for (int i = 0; i < 16; ++i) {
      const __m128i bit = _mm_set1_epi8(static_cast<char>(1u << (i / 2)));
      const __m128i unset = _mm_cmpeq_epi8(_mm_and_si128(Load16(row + i % 2 * 16), bit), _mm_setzero_si128());
      const __m128i numbers = _mm_sub_epi8(TwoBits(row + 32, i), _mm_and_si128(unset, _mm_set1_epi8(4)));
      StoreScaled16(numbers, Broadcast(d * static_cast<float>(own.scales[i])), out + begin + static_cast<size_t>(i) * 16);
    }
  }
}

// 32 numbers that nibbles stand for.
void StoreByTable(const int8_t* values, const std::byte* nibbles, Scalar scale, float* out) {
  const __m128i table = Load16(values);
  const __m128i mask = _mm_set1_epi8(15);
  const __m128i packed = Load16(nibbles);
  StoreScaled16(_mm_shuffle_epi8(table, _mm_and_si128(packed, mask)), scale, out);
  StoreScaled16(_mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(packed, 4), mask)), scale, out + 16);
}

void IQ4_NL(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32, row += 18)
    StoreByTable(kIq4Values, row + 2, Broadcast(Half(row)), out + begin);
}

void IQ4_XS(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 136) {
    const float d = Half(row);
    const auto highs = ReadAs<uint16_t>(row + 2);
    const auto lows = ReadAs<uint32_t>(row + 4);
    for (unsigned sub = 0; sub < 8; ++sub) {
      const auto stored = static_cast<int>((lows >> (4 * sub) & 15) | (highs >> (2 * sub) & 3u) << 4);
      StoreByTable(kIq4Values, row + 8 + sub * 16, Broadcast(d * static_cast<float>(stored - 32)), out + begin + sub * 32);
    }
  }
}

void MXFP4(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32, row += kMxfp4Bytes) {
    StoreByTable(kMxfp4Values, row + 1, Broadcast(Mxfp4Scale(row[0])), out + begin);
  }
}

void F16(const std::byte* row, size_t values, float* out) {
  size_t i = 0;
  for (; i + 8 <= values; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(Load16(row + 2 * i)));
  for (; i < values; ++i) out[i] = Half(row + 2 * i);
}

void BF16(const std::byte* row, size_t values, float* out) {
  size_t i = 0;
  for (; i + 8 <= values; i += 8) {
    const __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(Load16(row + 2 * i)), 16);
    _mm256_storeu_ps(out + i, _mm256_castsi256_ps(wide));
  }
  for (; i < values; ++i) {
    const uint32_t bits = static_cast<uint32_t>(ReadAs<uint16_t>(row + 2 * i)) << 16;
    out[i] = ReadAs<float>(&bits);
  }
}

}  // namespace

void DequantizeRow(TensorType type, const std::byte* row, size_t values, float* out) {
  switch (type) {
    case TensorType::kF32: __builtin_memcpy(out, row, values * sizeof(float)); return;
    case TensorType::kF16: F16(row, values, out); return;
    case TensorType::kBF16: BF16(row, values, out); return;
    case TensorType::kQ8_0: Q8_0(row, values, out); return;
    case TensorType::kQ4_0: SmallBlocks<false, false, 8>(row, values, out); return;
    case TensorType::kQ4_1: SmallBlocks<true, false, 0>(row, values, out); return;
    case TensorType::kQ5_0: SmallBlocks<false, true, 16>(row, values, out); return;
    case TensorType::kQ5_1: SmallBlocks<true, true, 0>(row, values, out); return;
    case TensorType::kQ2_K: Q2_K(row, values, out); return;
    case TensorType::kQ3_K: Q3_K(row, values, out); return;
    case TensorType::kQ4_K: NibbleSuperBlocks<false>(row, values, out); return;
    case TensorType::kQ5_K: NibbleSuperBlocks<true>(row, values, out); return;
    case TensorType::kQ6_K: Q6_K(row, values, out); return;
    case TensorType::kIQ4_NL: IQ4_NL(row, values, out); return;
    case TensorType::kIQ4_XS: IQ4_XS(row, values, out); return;
    case TensorType::kMXFP4: MXFP4(row, values, out); return;
  }
}

}  // namespace damask::kernels::DAMASK_TARGET
