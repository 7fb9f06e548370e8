// The block formats of quantised tensors: decoding a row to floats (reference and fast), and encoding (for tools and tests).
#pragma once

#include <cstddef>

#include "base/cpu.h"
#include "formats/tensor_type.h"

namespace damask::kernels {

// Decodes `values` numbers (whole blocks) of a row into out [values]. The scalar reference; exact.
void DequantizeRow(formats::TensorType type, const std::byte* row, size_t values, float* out);

// The same, with the target's vector units.
void DequantizeRow(Target target, formats::TensorType type, const std::byte* row, size_t values, float* out);

// Encodes x [values] into blocks of `type`, choosing scales by the block's range (good enough for tests and random models; it
// is not llama.cpp's search for the best scales).
void QuantizeRow(formats::TensorType type, const float* x, size_t values, std::byte* out);

}  // namespace damask::kernels
