// The bodies of each instruction set, as matmul_dispatch.cc lists them.
#pragma once

#include <cstddef>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {

// Ends elements n .. n + count of row m of y: `values` are x.w, and are overwritten.
void StoreElements(Target target, const Product& product, size_t m, size_t n, size_t count, float* values);

namespace scalar {
void Multiply(const Product& product, const Part& part, Scratch* scratch);
}  // namespace scalar

namespace avx2 {
void MultiplyDecode(const Product& product, const Part& part, Scratch* scratch);  // all types
void MultiplyInt16(const Product& product, const Part& part, Scratch* scratch);   // all types, one panel
void MultiplyCodes(const Product& product, const Part& part, Scratch* scratch);   // 4 and 5 bits, one panel
size_t CodePanelBytes(const WeightView& w);
void PackCodePanel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out);
size_t Int16PanelBytes(const WeightView& w);
void PackInt16Panel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out);
}  // namespace avx2

namespace avx512 {
void MultiplyFloatDecode(const Product& product, const Part& part, Scratch* scratch);  // F32, F16, BF16
}  // namespace avx512

namespace avx512vnni {
void MultiplyDecode(const Product& product, const Part& part, Scratch* scratch);  // quantised types
void MultiplyTableDecode(const Product& product, const Part& part);               // of these IQ4_NL, IQ4_XS, MXFP4
void MultiplyPairDecode(const Product& product, const Part& part);                // and Q2_K, Q3_K
void MultiplyInt8(const Product& product, const Part& part, Scratch* scratch);    // quantised types, one panel
size_t Int8PanelBytes(const WeightView& w);
void PackInt8Panel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out);
}  // namespace avx512vnni

namespace avx512bf16 {
void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch);  // all types, one panel
size_t Bf16PanelBytes(const WeightView& w);
void PackBf16Panel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out);
}  // namespace avx512bf16

namespace amx {
void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch);  // all types, up to kTilePartRows columns
void MultiplyBf16Emulated(const Product& product, const Part& part, Scratch* scratch);  // the same without the hardware
// Body::run_gated, up to half of kTilePartRows columns.
void MultiplyGated(const Product& gate, const Product& up, const Part& part, Scratch* scratch, Activations::Forms* out);
void MultiplyGatedEmulated(const Product& gate, const Product& up, const Part& part, Scratch* scratch, Activations::Forms* out);
size_t PanelBytes(const WeightView& w);
void PackPanel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out);
}  // namespace amx

}  // namespace damask::kernels
