// The decoders of each instruction set, behind DequantizeRow(target, ...).
#pragma once

#include <cstddef>

#include "formats/tensor_type.h"

namespace damask::kernels::avx2 {

void DequantizeRow(formats::TensorType type, const std::byte* row, size_t values, float* out);

}  // namespace damask::kernels::avx2
