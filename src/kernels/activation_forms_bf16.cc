// Rows of activations to bf16 for prefill, with AVX-512 BF16.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/activation_forms.h"
#include "kernels/activation_tiles.h"
#include "kernels/panel_avx512-inl.h"

namespace damask::kernels::avx512bf16 {

void MakeBf16Row(const float* x, size_t k, size_t stride, uint16_t* out) {
  for (size_t i = 0; i < stride; i += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(LoadTail(x, i + 16, k), LoadTail(x, i, k));
    _mm512_storeu_si512(out + i, reinterpret_cast<__m512i>(both));
  }
}

void MakeTilesRow(const float* x, size_t k, size_t k_tiles, size_t row, uint16_t* tiles) {
  uint16_t* out = tiles + row / 16 * k_tiles * 512 + row % 16 * 32;
  for (size_t tile = 0; tile < k_tiles; ++tile, out += 512) {
    const __m512bh both = _mm512_cvtne2ps_pbh(LoadTail(x, tile * 32 + 16, k), LoadTail(x, tile * 32, k));
    _mm512_storeu_si512(out, reinterpret_cast<__m512i>(both));
  }
}

void PairTiles(size_t k_tiles, uint16_t* tiles) {
  for (size_t tile = 0; tile < k_tiles; ++tile, tiles += 512) {
    __m512i rows[16];
    for (size_t r = 0; r < 16; ++r) rows[r] = _mm512_load_si512(tiles + r * 32);
    Transpose16(rows);
    for (size_t pair = 0; pair < 16; ++pair) _mm512_store_si512(tiles + pair * 32, rows[pair]);
  }
}

}  // namespace damask::kernels::avx512bf16

namespace damask::kernels {
namespace {

// 32 columns of sixteen rows: all of a tile.
void StoreTile(const float* x, size_t x_stride, uint16_t* tile) {
  __m512i rows[kTileColumns];
  for (size_t r = 0; r < kTileColumns; ++r) rows[r] = ToBf16x32(x + r * x_stride);
  Transpose16(rows);
  for (size_t pair = 0; pair < 16; ++pair) _mm512_store_si512(tile + pair * 32, rows[pair]);
}

// 32 columns of one row: a pair in each line of the tile.
void StoreTileRow(const float* x, uint16_t* tile, size_t row_of_tile) {
  const __m512i lines = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  _mm512_i32scatter_epi32(tile + row_of_tile * 2, _mm512_slli_epi32(lines, 4), ToBf16x32(x), sizeof(uint32_t));
}

}  // namespace

void StoreTiles(const float* x, size_t x_stride, size_t rows, size_t columns, const ActivationTiles& tiles, size_t row,
                size_t column) {
  for (size_t done = 0; done < rows;) {
    const size_t row_of_tile = (row + done) % kTileColumns;
    const bool whole = row_of_tile == 0 && rows - done >= kTileColumns;
    for (size_t c = 0; c < columns; c += 32) {
      uint16_t* const tile = tiles.Line(row + done - row_of_tile, column + c);
      if (whole) {
        StoreTile(x + done * x_stride + c, x_stride, tile);
      } else {
        StoreTileRow(x + done * x_stride + c, tile, row_of_tile);
      }
    }
    done += whole ? kTileColumns : 1;
  }
}

}  // namespace damask::kernels
