#include "kernels/peak_loops.h"

namespace damask::kernels::avx2 {

double FmaLoop(size_t iterations) {
  // Twelve chains: more than latency x units of any AVX2 CPU. Registers hold zeros.
  asm volatile("vzeroall" ::
                   : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                     "xmm12", "xmm13", "xmm14", "xmm15");
  for (size_t i = 0; i < iterations; ++i) {
    asm volatile(
        "vfmadd231ps %%ymm0, %%ymm1, %%ymm4\n vfmadd231ps %%ymm0, %%ymm1, %%ymm5\n vfmadd231ps %%ymm0, %%ymm1, %%ymm6\n"
        "vfmadd231ps %%ymm0, %%ymm1, %%ymm7\n vfmadd231ps %%ymm0, %%ymm1, %%ymm8\n vfmadd231ps %%ymm0, %%ymm1, %%ymm9\n"
        "vfmadd231ps %%ymm0, %%ymm1, %%ymm10\n vfmadd231ps %%ymm0, %%ymm1, %%ymm11\n vfmadd231ps %%ymm0, %%ymm1, %%ymm12\n"
        "vfmadd231ps %%ymm0, %%ymm1, %%ymm13\n vfmadd231ps %%ymm0, %%ymm1, %%ymm14\n vfmadd231ps %%ymm0, %%ymm1, %%ymm15\n" ::
            : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  }
  return static_cast<double>(iterations) * 12 * 16;
}

// A multiplication of pairs and the addition that it needs, into twelve sums.
#define DAMASK_PAIR(multiply, add, sum) multiply " %%ymm0, %%ymm1, %%ymm2\n " add " %%ymm2, %%ymm" #sum ", %%ymm" #sum "\n"
#define DAMASK_PAIRS(multiply, add)                                                                                            \
  for (size_t i = 0; i < iterations; ++i) {                                                                                    \
    asm volatile(DAMASK_PAIR(multiply, add, 4) DAMASK_PAIR(multiply, add, 5) DAMASK_PAIR(multiply, add, 6)                     \
                     DAMASK_PAIR(multiply, add, 7) DAMASK_PAIR(multiply, add, 8) DAMASK_PAIR(multiply, add, 9)                 \
                         DAMASK_PAIR(multiply, add, 10) DAMASK_PAIR(multiply, add, 11) DAMASK_PAIR(multiply, add, 12)          \
                             DAMASK_PAIR(multiply, add, 13) DAMASK_PAIR(multiply, add, 14) DAMASK_PAIR(multiply, add, 15)::    \
                                 : "xmm2", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
                                   "xmm14", "xmm15");                                                                          \
  }

double DotInt16Loop(size_t iterations) {
  DAMASK_PAIRS("vpmaddwd", "vpaddd")
  return static_cast<double>(iterations) * 12 * 32;
}

double DotInt8Loop(size_t iterations) {
  DAMASK_PAIRS("vpmaddubsw", "vpaddw")
  return static_cast<double>(iterations) * 12 * 64;
}

}  // namespace damask::kernels::avx2
