// Pieces of the AVX-512 panel products, for the files compiled with these instructions only (everything has internal linkage:
// no copy of it may be linked into code for lesser CPUs).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/matmul_bodies.h"
#include "kernels/quant_targets.h"
#include "kernels/silu_avx512-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

inline constexpr size_t kPanelVectors = kPanelRows / 16;

inline __mmask16 Lanes(size_t count) { return count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

// 16 rows of 16 dwords become 16 columns: out[c] holds dword c of every row.
inline void Transpose16(__m512i* r) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // r[4 g + c] holds, in 128-bit lane l, column 4 l + c of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    const __m512i e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(a, b, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(a, b, 0xdd);
    t[4 + c] = _mm512_shuffle_i32x4(d, e, 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(d, e, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// Ends 16 results: they go to y(m, n ..) as `store` says.
inline void StoreVector(const Product& product, Store store, bool with_bias, size_t m, size_t n, __mmask16 lanes,
                        __m512 value) {
  float* y = product.y + m * product.y_stride + n;
  if (with_bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(lanes, product.bias + n));
  if (store != Store::kSet) {
    const __m512 old = _mm512_maskz_loadu_ps(lanes, y);
    value = store == Store::kAdd ? _mm512_add_ps(old, value) : SiluTimes(old, value);
  }
  _mm512_mask_storeu_ps(y, lanes, value);
}

// Ends `rows` x 64 results: tile [rows][64] goes to y columns [n_begin, n_end).
inline void StoreTile(const Product& product, Store store, bool with_bias, const float* tile, size_t rows, size_t m_begin,
                      size_t n_begin, size_t n_end) {
  for (size_t row = 0; row < rows; ++row, tile += kPanelRows) {
    for (size_t n = n_begin; n < n_end; n += 16) {
      StoreVector(product, store, with_bias, m_begin + row, n, Lanes(n_end - n), _mm512_loadu_ps(tile + (n - n_begin)));
    }
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

// Decodes numbers [piece) of weight rows n .. n + 15 to floats [16][stride], zeros up to `padded` numbers and for rows from
// n_end on.
inline void DecodeSixteenRows(const WeightView& w, size_t n, size_t n_end, Piece piece, size_t padded, size_t stride,
                              float* out) {
  const size_t row_bytes = formats::RowBytes(w.type, w.k);
  const size_t offset = formats::RowBytes(w.type, piece.begin);
  for (size_t r = 0; r < 16; ++r, out += stride) {
    size_t filled = 0;
    if (n + r < n_end) {
      filled = piece.end - piece.begin;
      avx512::DequantizeRow(w.type, w.data + (n + r) * row_bytes + offset, filled, out);
    }
    for (; filled < padded; ++filled) out[filled] = 0;
  }
}

inline __m512i ToBf16x32(const float* x) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}

}  // namespace
}  // namespace damask::kernels
