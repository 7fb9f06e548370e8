#include "kernels/gemm_amx-inl.h"

namespace damask::kernels::amx {

void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch) {
  MultiplyAmx<HardwareTiles>(product, part, scratch);
}

}  // namespace damask::kernels::amx
