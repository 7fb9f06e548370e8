// The decoders of each instruction set, behind DequantizeRow(target, ...).
#pragma once

#include <cstddef>

#include "formats/tensor_type.h"

namespace damask::kernels {
namespace avx2 {
void DequantizeRow(formats::TensorType type, const std::byte* row, size_t values, float* out);
}  // namespace avx2
namespace avx512 {
void DequantizeRow(formats::TensorType type, const std::byte* row, size_t values, float* out);
}  // namespace avx512
}  // namespace damask::kernels
