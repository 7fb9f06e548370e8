// The header of NumPy's array files (format version 1, 2 and 3): 2-D arrays of little-endian float32 or float64 in C order.
// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"

namespace damask::masks {

struct NpyHeader {
  uint64_t rows = 0;
  uint64_t columns = 0;
  bool doubles = false;
  size_t data_offset = 0;
};

// BadFormat, Truncated, or Unsupported for arrays of another kind. The shape is not compared with the size of the file.
Result<NpyHeader> ParseNpyHeader(std::span<const std::byte> bytes);

}  // namespace damask::masks
