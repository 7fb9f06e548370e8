// What the panel products of AVX2 and AVX-512 share: no vectors in it. In an unnamed namespace: included by files compiled with
// wide instruction sets, and no copy of it may be linked into code for lesser CPUs.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

template <int R>
using RowCount = std::integral_constant<int, R>;

// Calls body(RowCount<rows>()), for 1 to kTileRows rows: what has to be known when it is compiled.
template <typename Body>
inline void WithRows(size_t rows, const Body& body) {
  static_assert(kTileRows == 6);
  switch (rows) {
    case 1: return body(RowCount<1>());
    case 2: return body(RowCount<2>());
    case 3: return body(RowCount<3>());
    case 4: return body(RowCount<4>());
    case 5: return body(RowCount<5>());
    default: return body(RowCount<6>());
  }
}

// Fetches for writing what StoreTile will write, while the products still run.
inline void PrefetchTile(const Product& product, size_t rows, size_t m_begin, size_t n_begin, size_t n_end) {
  for (size_t row = 0; row < rows; ++row) {
    const float* y = product.y + (m_begin + row) * product.y_stride;
    for (size_t n = n_begin; n < n_end; n += 16) __builtin_prefetch(y + n, 1, 3);
  }
}

// One piece of k of a panel: [begin, end).
struct Piece {
  size_t begin;
  size_t end;
};

// The kept panel of a part's weight rows, all of k; null: none was kept.
inline const std::byte* PackedPanel(const Product& product, const Part& part, size_t panel_bytes, size_t n_grain = kPanelRows) {
  return product.packed == nullptr ? nullptr : product.packed + part.n_begin / n_grain * panel_bytes;
}

// Where the product over one piece ends up: with several pieces the first sets (or adds to) y, later ones add.
inline Store StoreOfPiece(Store store, size_t begin) { return begin == 0 ? store : Store::kAdd; }

}  // namespace
}  // namespace damask::kernels
