// Pieces of the AVX-512 panel products, for the files compiled with these instructions only (everything has internal linkage:
// no copy of it may be linked into code for lesser CPUs).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/gates_avx512-inl.h"
#include "kernels/panel_parts-inl.h"
#include "kernels/quant_targets.h"
#include "kernels/transpose_avx512-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

inline constexpr size_t kPanelVectors = kPanelRows / 16;
// kTileRows rows of activations times a panel: 6 x 4 vectors of sums, 4 vectors of weights and one activation fill 29 of 32
// registers.
static_assert(kTileRows == 6);

inline __mmask16 Lanes(size_t count) { return count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

// Zeros from k on.
inline __m512 LoadTail(const float* x, size_t at, size_t k) {
  return at >= k ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(Lanes(k - at), x + at);
}

// Ends 16 results: they go to y(m, n ..) as `store` says.
inline void StoreVector(const Product& product, Store store, bool with_bias, size_t m, size_t n, __mmask16 lanes,
                        __m512 value) {
  float* y = product.y + m * product.y_stride + n;
  if (with_bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(lanes, product.bias + n));
  if (store != Store::kSet) {
    const __m512 old = _mm512_maskz_loadu_ps(lanes, y);
    value = store == Store::kAdd ? _mm512_add_ps(old, value) : GateTimes(product.gate, old, value);
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

#if defined(__AVX512BF16__)
inline __m512i ToBf16x32(const float* x) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}
#endif

}  // namespace
}  // namespace damask::kernels
