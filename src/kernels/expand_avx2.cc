#include <immintrin.h>

#include "kernels/expand-inl.h"

namespace damask::kernels {
namespace {

struct Avx2Ops {
  struct Scales {
    __m256 low;
    __m256 high;
  };

  static __m256 Widen(__m128i bf16) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16)); }
  static Scales Splat(uint16_t scale) {
    const __m256 all = Widen(_mm_set1_epi16(static_cast<int16_t>(scale)));
    return {all, all};
  }
  static Scales Load(const uint16_t* scales) {
    const auto* const from = reinterpret_cast<const __m128i*>(scales);
    return {Widen(_mm_loadu_si128(from)), Widen(_mm_loadu_si128(from + 1))};
  }

  // The bf16 bits, each in the low half of 32.
  static __m256i Scaled(__m128i numbers, __m256 scales) {
    const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(numbers)), scales);
    const __m256i bits = _mm256_castps_si256(product);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  }
  static void Store(const int8_t* numbers, const Scales& scales, uint16_t* to) {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
    const __m256i low = Scaled(sixteen, scales.low);
    const __m256i high = Scaled(_mm_srli_si128(sixteen, 8), scales.high);
    // Packing goes by halves of a register: back in order.
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), packed);
  }
};

}  // namespace

void ExpandAvx2(const ExpandRun& run, size_t head_dim) { Expander<Avx2Ops>::Run(run, head_dim); }

}  // namespace damask::kernels
