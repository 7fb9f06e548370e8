#include "kernels/expand_avx512-inl.h"

namespace damask::kernels {
namespace {

struct Avx512Bf16Ops : Avx512Scales {
  static void Store(const int8_t* numbers, __m512 scales, uint16_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(Scaled(numbers, scales)));
  }
};

}  // namespace

void ExpandAvx512Bf16(const ExpandRun& run, size_t head_dim) { Expander<Avx512Bf16Ops>::Run(run, head_dim); }

}  // namespace damask::kernels
