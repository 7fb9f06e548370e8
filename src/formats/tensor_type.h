// The element types of model files, numbered as GGUF numbers them, and the arithmetic of their blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace damask::formats {

enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
  kMXFP4 = 39,
};

struct TensorTypeInfo {
  std::string_view name;  // as llama.cpp prints it: "Q4_K"
  uint32_t block_values;  // values per block, along the fastest dimension
  uint32_t block_bytes;
  bool runnable;  // damask has kernels for it; others are known by size and name only (check, info, error texts)
};

// Nothing for numbers that GGUF does not know or has removed.
std::optional<TensorTypeInfo> FindTensorType(uint32_t number);

// For a type of the enum above.
const TensorTypeInfo& GetTensorType(TensorType type);

// Bytes of a row of `values` (a multiple of block_values, checked by the readers) in a runnable type.
uint64_t RowBytes(TensorType type, uint64_t values);

}  // namespace damask::formats
