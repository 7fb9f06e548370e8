#include "kernels/peak_avx512-inl.h"
#include "kernels/peak_loops.h"

namespace damask::kernels::avx512vnni {

double DotInt8Loop(size_t iterations) {
  DAMASK_LOOP("vpdpbusd")
  return static_cast<double>(iterations) * 24 * 128;
}

}  // namespace damask::kernels::avx512vnni
