// The bodies of each instruction set, as matmul_dispatch.cc lists them.
#pragma once

#include <cstddef>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {

// Ends one element of y: `value` is x.w.
void StoreElement(const Product& product, size_t m, size_t n, float value);

namespace scalar {
void Multiply(const Product& product, const Part& part, Scratch* scratch);
}  // namespace scalar

namespace avx2 {
void MultiplyDecode(const Product& product, const Part& part, Scratch* scratch);  // all types
}  // namespace avx2

namespace avx512 {
void MultiplyFloatDecode(const Product& product, const Part& part, Scratch* scratch);  // F32, F16, BF16
}  // namespace avx512

namespace avx512bf16 {
void MultiplyDecode(const Product& product, const Part& part, Scratch* scratch);  // quantised types
void MultiplyInt8(const Product& product, const Part& part, Scratch* scratch);    // quantised types, one panel
void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch);    // all types, one panel
}  // namespace avx512bf16

namespace amx {
void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch);          // all types, kTilePanelRows columns
void MultiplyBf16Emulated(const Product& product, const Part& part, Scratch* scratch);  // the same without the hardware
}  // namespace amx

namespace one_dnn {
void MultiplyFloat(const Product& product, ThreadPool* pool, WholeProducts* state);
void MultiplyBf16(const Product& product, ThreadPool* pool, WholeProducts* state);
}  // namespace one_dnn

}  // namespace damask::kernels
