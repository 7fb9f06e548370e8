// What the blocks of quantised weights hold, in AVX2 registers: unsigned codes of 2 to 6 bits, 32 at a time, with
// weight = scale * code + minimum; or the signed numbers that codes stand for. In an unnamed namespace: compiled with AVX2 and
// not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/iq4_values.h"
#include "kernels/k_scales-inl.h"
#include "kernels/mxfp4-inl.h"
#include "kernels/quant_read-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

inline __m256i Load32(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }
inline __m128i Load16(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }
inline __m256i LowNibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
inline __m256i HighNibbles(__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15)); }

// Numbers 0 to 15 from the low halves of 16 bytes, 16 to 31 from the high halves.
inline __m256i ThirtyTwoNibbles(const std::byte* nibbles) {
  const __m128i packed = Load16(nibbles);
  return LowNibbles(_mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1));
}

// Bit i of `bits` as 16 in byte i.
inline __m256i SpreadBits(uint32_t bits) {
  const __m256i source = _mm256_shuffle_epi8(
      _mm256_set1_epi32(static_cast<int>(bits)),
      _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
  const __m256i select = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(source, select), select), _mm256_set1_epi8(16));
}

// Q4_0, Q4_1, Q5_0, Q5_1: blocks of 32.
template <bool kHasMinimum, bool kFifthBit>
struct SmallBlocks {
  static constexpr size_t kNumbers = 32;
  static constexpr size_t kHeader = 2 + (kHasMinimum ? 2 : 0);
  static constexpr size_t kBytes = kHeader + (kFifthBit ? 4 : 0) + 16;

  static __m256i Codes(const std::byte* block) {
    const __m256i low = ThirtyTwoNibbles(block + kBytes - 16);
    return kFifthBit ? _mm256_or_si256(low, SpreadBits(ReadAs<uint32_t>(block + kHeader))) : low;
  }
  static float Scale(const std::byte* block) { return Half(block); }
  static float Minimum(const std::byte* block) {
    return kHasMinimum ? Half(block + 2) : Half(block) * (kFifthBit ? -16.0f : -8.0f);
  }
};

// MXFP4: blocks of 32 numbers from -12 to 12. Unsigned codes are the numbers plus 12.
struct Mxfp4Blocks {
  static constexpr size_t kNumbers = 32;
  static constexpr size_t kBytes = kMxfp4Bytes;

  static __m256i Codes(const std::byte* block) {
    const __m128i values = _mm_add_epi8(Load16(kMxfp4Values), _mm_set1_epi8(12));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), ThirtyTwoNibbles(block + 1));
  }
  static float Scale(const std::byte* block) { return Mxfp4Scale(block[0]); }
  static float Minimum(const std::byte* block) { return Mxfp4Scale(block[0]) * -12.0f; }
};

// Q4_K, Q5_K: super-blocks of eight blocks of 32.
template <bool kFifthBit>
struct NibbleSuperBlocks {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = kFifthBit ? 176 : 144;

  // Block `sub`, 0 to 7.
  static __m256i Codes(const std::byte* block, size_t sub) {
    const __m256i bytes = Load32(block + kBytes - 128 + sub / 2 * 32);
    const __m256i low = sub % 2 == 0 ? LowNibbles(bytes) : HighNibbles(bytes);
    if constexpr (!kFifthBit) return low;
    const __m256i bit = _mm256_set1_epi8(static_cast<char>(1u << sub));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(Load32(block + 16), bit), bit);
    return _mm256_or_si256(low, _mm256_and_si256(set, _mm256_set1_epi8(16)));
  }
  // Of the eight blocks; minima are to be subtracted.
  static __m256 Scales(const std::byte* block, const KScales& k) {
    return _mm256_mul_ps(_mm256_set1_ps(Half(block)), EightOf(k.scales));
  }
  static __m256 Minima(const std::byte* block, const KScales& k) {
    return _mm256_mul_ps(_mm256_set1_ps(Half(block + 2)), EightOf(k.minima));
  }

 private:
  static __m256 EightOf(const uint8_t* bytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))));
  }
};

// Q6_K: super-blocks of sixteen blocks of 16, with an integer scale each and, of 16 bits, an integer minimum to be subtracted:
// here 32 times the scale.
struct Q6_K {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 210;

  // Blocks 2 sub and 2 sub + 1.
  static __m256i Codes(const std::byte* block, size_t sub) {
    const size_t half = sub / 4;
    const size_t quarter = sub % 4;
    const __m256i bytes = Load32(block + half * 64 + quarter % 2 * 32);
    const __m256i pairs = Load32(block + 128 + half * 32);
    const __m256i moved = quarter == 0   ? _mm256_slli_epi16(pairs, 4)
                          : quarter == 1 ? _mm256_slli_epi16(pairs, 2)
                          : quarter == 2 ? pairs
                                         : _mm256_srli_epi16(pairs, 2);
    const __m256i low = quarter < 2 ? LowNibbles(bytes) : HighNibbles(bytes);
    return _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi8(0x30)));
  }
  static __m128i OwnScales(const std::byte* block) { return Load16(block + 192); }  // sixteen signed bytes
  static __m256i OwnMinima(const std::byte* /*block*/, __m128i own_scales) {
    return _mm256_slli_epi16(_mm256_cvtepi8_epi16(own_scales), 5);
  }
  static float Scale(const std::byte* block) { return Half(block + 208); }
  static float MinimumScale(const std::byte* block) { return Scale(block); }
};

// Bit pairs of blocks 2 sub and 2 sub + 1 of a super-block of Q2_K or Q3_K.
inline __m256i TwoBits(const std::byte* pairs, size_t sub) {
  const __m256i moved = _mm256_srli_epi16(Load32(pairs + sub / 4 * 32), static_cast<int>(sub % 4 * 2));
  return _mm256_and_si256(moved, _mm256_set1_epi8(3));
}

// Q3_K: as Q6_K, minima are 4 times the scales.
struct Q3_K {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 110;

  static __m256i Codes(const std::byte* block, size_t sub) {
    const __m256i thirds = Load32(block);
    const __m256i moved =
        sub < 2 ? _mm256_slli_epi16(thirds, static_cast<int>(2 - sub)) : _mm256_srli_epi16(thirds, static_cast<int>(sub - 2));
    return _mm256_or_si256(TwoBits(block + 32, sub), _mm256_and_si256(moved, _mm256_set1_epi8(4)));
  }
  static __m128i OwnScales(const std::byte* block) {
    const SixteenScales own = UnpackQ3Scales(block);
    return Load16(own.scales);
  }
  static __m256i OwnMinima(const std::byte* /*block*/, __m128i own_scales) {
    return _mm256_slli_epi16(_mm256_cvtepi8_epi16(own_scales), 2);
  }
  static float Scale(const std::byte* block) { return Half(block + 108); }
  static float MinimumScale(const std::byte* block) { return Scale(block); }
};

// Q2_K: as Q6_K, with minima of its own.
struct Q2_K {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 84;

  static __m256i Codes(const std::byte* block, size_t sub) { return TwoBits(block + 16, sub); }
  static __m128i OwnScales(const std::byte* block) { return _mm_and_si128(Load16(block), _mm_set1_epi8(15)); }
  static __m256i OwnMinima(const std::byte* block, __m128i /*own_scales*/) {
    return _mm256_cvtepi8_epi16(_mm_and_si128(_mm_srli_epi16(Load16(block), 4), _mm_set1_epi8(15)));
  }
  static float Scale(const std::byte* block) { return Half(block + 80); }
  static float MinimumScale(const std::byte* block) { return Half(block + 82); }
};

// The 32 numbers of a block of IQ4_NL or IQ4_XS, from -127 to 113.
inline __m256i Iq4Numbers(const std::byte* nibbles) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(Load16(kIq4Values)), ThirtyTwoNibbles(nibbles));
}

}  // namespace
}  // namespace damask::kernels
