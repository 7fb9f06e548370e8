// The same product over tiles in plain C++: for tests, on any CPU that has AVX-512 bf16 (unpacking and storing use it).
#include "kernels/gemm_amx-inl.h"

namespace damask::kernels::amx {

void MultiplyBf16Emulated(const Product& product, const Part& part, Scratch* scratch) {
  MultiplyAmx<EmulatedTiles>(product, part, scratch);
}

void MultiplyGatedEmulated(const Product& gate, const Product& up, const Part& part, Scratch* scratch,
                           Activations::Forms* out) {
  MultiplyGatedAmx<EmulatedTiles>(gate, up, part, scratch, out);
}

}  // namespace damask::kernels::amx
