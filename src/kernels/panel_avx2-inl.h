// Pieces of the AVX2 panel products. In an unnamed namespace: compiled with AVX2 and not to be shared.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/gates_avx2-inl.h"
#include "kernels/panel_parts-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

inline constexpr size_t kVectorLanes = 8;
// kTileRows rows of activations times half a panel: 6 x 2 vectors of sums, 2 vectors of weights, an activation and a product
// fill the 16 registers.
static_assert(kTileRows == 6);

// Ends `rows` x kNarrowPanelRows results: the tile goes to y as `store` says.
inline void StoreTile(const Product& product, Store store, const float* bias, const float* tile, size_t rows, size_t m_begin,
                      const Part& part) {
  for (size_t row = 0; row < rows; ++row, tile += kNarrowPanelRows) {
    for (size_t n = part.n_begin; n < part.n_end; n += kVectorLanes) {
      const __m256i lanes = TailMask(part.n_end - n);
      float* y = product.y + (m_begin + row) * product.y_stride + n;
      __m256 value = _mm256_load_ps(tile + (n - part.n_begin));
      if (bias != nullptr) value = _mm256_add_ps(value, _mm256_maskload_ps(bias + n, lanes));
      if (store != Store::kSet) {
        const __m256 old = _mm256_maskload_ps(y, lanes);
        value = store == Store::kAdd ? _mm256_add_ps(old, value) : GateTimes(product.gate, old, value);
      }
      _mm256_maskstore_ps(y, lanes, value);
    }
  }
}

// Runs a product over the pieces of k of one panel: `unpack`(piece, to) makes a piece of it (or none, where the whole panel is
// kept), `multiply`(panel, piece, m, rows, tile) fills a tile [rows][kNarrowPanelRows]. `bytes_of`(numbers) is what a piece
// takes, proportional to its blocks, so that a kept panel is its pieces one behind the other.
template <class BytesOf, class Unpack, class Multiply>
inline void MultiplyPanel(const Product& product, const Part& part, Scratch* scratch, size_t piece_numbers,
                          const BytesOf& bytes_of, const Unpack& unpack, const Multiply& multiply) {
  const size_t k = product.w->k;
  // A gate times its function wants the whole sum: it cannot come in pieces.
  if (product.store == Store::kGate || k < piece_numbers) piece_numbers = k;
  const std::byte* packed = PackedPanel(product, part, bytes_of(k), kNarrowPanelRows);
  if (packed == nullptr) scratch->panel.Reserve(bytes_of(piece_numbers));
  alignas(32) float tile[kTileRows * kNarrowPanelRows];
  for (size_t begin = 0; begin < k; begin += piece_numbers) {
    const Piece piece{begin, begin + piece_numbers < k ? begin + piece_numbers : k};
    if (packed == nullptr) unpack(piece, scratch->panel.data());
    const std::byte* panel = packed == nullptr ? scratch->panel.data() : packed + bytes_of(begin);
    for (size_t m = part.m_begin; m < part.m_end; m += kTileRows) {
      const size_t rows = part.m_end - m < kTileRows ? part.m_end - m : kTileRows;
      PrefetchTile(product, rows, m, part.n_begin, part.n_end);
      multiply(panel, piece, m, rows, tile);
      StoreTile(product, StoreOfPiece(product.store, begin), begin == 0 ? product.bias : nullptr, tile, rows, m, part);
    }
  }
}

}  // namespace
}  // namespace damask::kernels
