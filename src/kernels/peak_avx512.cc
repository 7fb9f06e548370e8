// Loops of one instruction over 24 registers, written in assembler so that no compiler moves, merges or spills anything. The
// first registers are zeroed: products of denormals or infinities could be slower.
#include <immintrin.h>

#include "kernels/peak_loops.h"

#define DAMASK_FOUR(instruction, a, b, c, d)                                                            \
  instruction " %%zmm0, %%zmm1, %%zmm" #a "\n" instruction " %%zmm0, %%zmm1, %%zmm" #b "\n" instruction \
              " %%zmm0, %%zmm1, %%zmm" #c "\n" instruction " %%zmm0, %%zmm1, %%zmm" #d "\n"

#define DAMASK_TWENTY_FOUR(instruction)    \
  DAMASK_FOUR(instruction, 8, 9, 10, 11)   \
  DAMASK_FOUR(instruction, 12, 13, 14, 15) \
  DAMASK_FOUR(instruction, 16, 17, 18, 19) \
  DAMASK_FOUR(instruction, 20, 21, 22, 23) \
  DAMASK_FOUR(instruction, 24, 25, 26, 27) \
  DAMASK_FOUR(instruction, 28, 29, 30, 31)

#define DAMASK_LOOP(instruction)                                                                                          \
  asm volatile("vpxorq %%zmm0, %%zmm0, %%zmm0\n vpxorq %%zmm1, %%zmm1, %%zmm1\n" ::: "xmm0", "xmm1");                     \
  for (size_t i = 0; i < iterations; ++i) {                                                                               \
    asm volatile(DAMASK_TWENTY_FOUR(instruction)::                                                                        \
                     : "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",   \
                       "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", \
                       "xmm30", "xmm31");                                                                                 \
  }

namespace damask::kernels::avx512bf16 {

double FmaLoop(size_t iterations) {
  DAMASK_LOOP("vfmadd231ps")
  return static_cast<double>(iterations) * 24 * 32;
}

double DotBf16Loop(size_t iterations) {
  DAMASK_LOOP("vdpbf16ps")
  return static_cast<double>(iterations) * 24 * 64;
}

double DotInt8Loop(size_t iterations) {
  DAMASK_LOOP("vpdpbusd")
  return static_cast<double>(iterations) * 24 * 128;
}

uint64_t ReadLoop(const std::byte* data, size_t bytes) {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    // Prefetchers stop at page borders; the kernels of decode reach over them in the same way.
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(data) + i + 2048), _MM_HINT_T0);
    for (size_t j = 0; j < 4; ++j) sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(data + i + 64 * j));
  }
  const __m512i sum = _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sum));
}

}  // namespace damask::kernels::avx512bf16
