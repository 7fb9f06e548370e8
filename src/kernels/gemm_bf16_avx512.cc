// Prefill with AVX-512 BF16: weights unpacked to bf16 once per panel, vdpbf16ps over pairs. For float weights, where 8 bits
// would throw precision away. A panel is 64 weight rows: [k / 2][64 rows][2].
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/matmul_targets.h"
#include "kernels/panel_avx512-inl.h"

namespace damask::kernels::avx512bf16 {
namespace {

// Numbers of k unpacked at a time: 512 KB of panel.
constexpr size_t kPieceNumbers = 4096;
// Rows are unpacked in groups of 32 numbers: one register of bf16.
constexpr size_t kGroup = 32;

void UnpackPanel(const WeightView& w, size_t n_begin, size_t n_end, Piece piece, Scratch* scratch, uint16_t* panel) {
  const size_t padded = (piece.end - piece.begin + kGroup - 1) / kGroup * kGroup;
  const size_t stride = padded + 16;
  scratch->rows.Reserve(16 * stride);
  float* floats = scratch->rows.data();
  for (size_t vector = 0; vector < kPanelVectors; ++vector) {
    DecodeSixteenRows(w, n_begin + vector * 16, n_end, piece, padded, stride, floats);
    for (size_t begin = 0; begin < padded; begin += kGroup) {
      __m512i rows[16];
      for (size_t r = 0; r < 16; ++r) rows[r] = ToBf16x32(floats + r * stride + begin);
      Transpose16(rows);
      uint16_t* out = panel + begin * kPanelRows + vector * 32;
      for (size_t step = 0; step < 16; ++step) _mm512_store_si512(out + step * kPanelRows * 2, rows[step]);
    }
  }
}

template <int R>
[[gnu::noinline]] void MultiplyTile(const uint16_t* panel, size_t pairs, const uint16_t* x, size_t x_stride, float* tile) {
  __m512 sums[R][kPanelVectors];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kPanelVectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  for (size_t pair = 0; pair < pairs; ++pair) {
    __m512bh w[kPanelVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kPanelVectors; ++v) {
      w[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(panel + (pair * kPanelVectors + v) * 32));
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      int32_t two;
      __builtin_memcpy(&two, x + static_cast<size_t>(r) * x_stride + pair * 2, 4);
      const auto a = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
#pragma GCC unroll 4
      for (size_t v = 0; v < kPanelVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], w[v], a);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kPanelVectors; ++v)
      _mm512_store_ps(tile + (static_cast<size_t>(r) * kPanelVectors + v) * 16, sums[r][v]);
  }
}

}  // namespace

size_t Bf16PanelBytes(const WeightView& w) { return (w.k + kGroup - 1) / kGroup * kGroup * kPanelRows * sizeof(uint16_t); }

void PackBf16Panel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out) {
  UnpackPanel(w, n_begin, n_end, Piece{0, w.k}, scratch, reinterpret_cast<uint16_t*>(out));
}

void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch) {
  const Activations::Forms& x = *product.x;
  const WeightView& w = *product.w;
  const size_t piece_numbers = product.store == Store::kGate ? w.k : kPieceNumbers;
  const size_t most = ((piece_numbers < w.k ? piece_numbers : w.k) + kGroup - 1) / kGroup * kGroup;
  const std::byte* packed = PackedPanel(product, part, Bf16PanelBytes(w));
  if (packed == nullptr) scratch->panel.Reserve(most * kPanelRows * sizeof(uint16_t));
  alignas(64) float tile[kTileRows * kPanelRows];
  for (size_t begin = 0; begin < w.k; begin += piece_numbers) {
    const Piece piece{begin, begin + piece_numbers < w.k ? begin + piece_numbers : w.k};
    const uint16_t* panel = nullptr;
    if (packed == nullptr) {
      auto* unpacked = reinterpret_cast<uint16_t*>(scratch->panel.data());
      UnpackPanel(w, part.n_begin, part.n_end, piece, scratch, unpacked);
      panel = unpacked;
    } else {
      panel = reinterpret_cast<const uint16_t*>(packed) + begin * kPanelRows;
    }
    const size_t pairs = (piece.end - piece.begin + 1) / 2;
    for (size_t m = part.m_begin; m < part.m_end; m += kTileRows) {
      const size_t rows = part.m_end - m < kTileRows ? part.m_end - m : kTileRows;
      PrefetchTile(product, rows, m, part.n_begin, part.n_end);
      WithRows(rows, [&]<int R>(RowCount<R>) {
        MultiplyTile<R>(panel, pairs, x.bf16s.data() + m * x.bf16_stride + piece.begin, x.bf16_stride, tile);
      });
      StoreTile(product, StoreOfPiece(product.store, begin), product.bias != nullptr && begin == 0, tile, rows, m, part.n_begin,
                part.n_end);
    }
  }
}

}  // namespace damask::kernels::avx512bf16
