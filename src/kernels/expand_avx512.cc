#include "kernels/expand_avx512-inl.h"

namespace damask::kernels {
namespace {

struct Avx512Ops : Avx512Scales {
  static void Store(const int8_t* numbers, __m512 scales, uint16_t* to) {
    const __m512i bits = _mm512_castps_si512(Scaled(numbers, scales));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }
};

}  // namespace

void ExpandAvx512(const ExpandRun& run, size_t head_dim) { Expander<Avx512Ops>::Run(run, head_dim); }

}  // namespace damask::kernels
