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

}  // namespace damask::kernels::avx2
