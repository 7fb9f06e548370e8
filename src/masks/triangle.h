// The lower triangle of an [L, L] attention map, packed row by row: cell (row, key) with key <= row. Cells above the diagonal
// are no data and have no place.
#pragma once

#include <cstddef>

namespace damask::masks {

// Longest capture: a triangle of 4096 rows is 8.4 million cells, 67 MB of doubles for a head. Published settings are 64 to
// 1024.
inline constexpr size_t kMaxCaptureLength = 4096;

constexpr size_t TriangleCells(size_t length) { return length * (length + 1) / 2; }
constexpr size_t TriangleIndex(size_t row, size_t key) { return row * (row + 1) / 2 + key; }

}  // namespace damask::masks
