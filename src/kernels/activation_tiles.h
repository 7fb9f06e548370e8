// Activations as the bf16 products of AMX read them, and steps before a product may leave them: B tiles
// [rows / 16][k / 32][16 pairs][16 rows][2].
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::kernels {

inline constexpr size_t kTileColumns = 16;  // rows of activations that a tile holds

struct ActivationTiles {
  uint16_t* numbers = nullptr;  // bf16, 64-byte aligned; null: activations are not wanted in this form
  size_t k_tiles = 0;           // k / 32, rounded up

  // The line of `column` (even) and its neighbour, of sixteen rows from `row` (a multiple of 16) on; the next two columns are
  // the next line.
  uint16_t* Line(size_t row, size_t column) const {
    return numbers + (row * k_tiles * 32 + column * kTileColumns);  // a tile's 32 columns of 16 rows are 512 numbers
  }
};

// x [rows, columns], floats, become the rows from `row` and the columns from `column` on. `columns` and `column` are multiples
// of 32. Other rows of the same tiles may be written at the same time. Needs AVX-512 BF16.
void StoreTiles(const float* x, size_t x_stride, size_t rows, size_t columns, const ActivationTiles& tiles, size_t row,
                size_t column);

// Zeros in the rows from m on of the last pair of tiles, which products read too.
void ZeroTilesBehind(size_t m, const ActivationTiles& tiles);

}  // namespace damask::kernels
