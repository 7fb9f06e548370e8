#include "kernels/peak_avx512-inl.h"
#include "kernels/peak_loops.h"

namespace damask::kernels::avx512bf16 {

double DotBf16Loop(size_t iterations) {
  DAMASK_LOOP("vdpbf16ps")
  return static_cast<double>(iterations) * 24 * 64;
}

}  // namespace damask::kernels::avx512bf16
