// Prefill with AMX tiles in bf16, a template over the tile backend (amx/tiles.h): the hardware, or plain C++ for tests.
//
// From measurements on a Xeon with AMX (2 MiB L2, 48 KiB L1d a core; docs/benchmarks.md):
//   - the reused operand, 32 weight rows x 512 numbers (32 KB), stays in L1; activations stream past it by loads that do not
//     push it out (TILELOADDT1): 2.7 instead of 2.1 TFLOP/s;
//   - each tile load stands right before its first use; four loads and then four products is three times slower;
//   - the sums of 512 rows x 256 columns stay in L2 between pieces of k, as whole tiles: rows of y at a power-of-two pitch cost
//     20 %;
//   - activations come in tile order from Load: packing them inside the product cost 15 %.
//
// The thread's tiles are configured at the start of every part and released at its end: a part runs for a good part of a
// millisecond, so this costs nothing, no other user of tiles can find a stale configuration, and an idle thread carries no tile
// state through context switches.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/amx/tiles.h"
#include "kernels/matmul_targets.h"
#include "kernels/panel_avx512-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

struct AmxBlocks {
  static constexpr size_t kTileNumbers = 512;  // bf16 numbers of an operand tile: 16 x 32
  static constexpr size_t kTileFloats = 256;
  static constexpr size_t kPieceTiles = 16;  // k in tiles: 512 numbers
  static constexpr size_t kPairRows = 32;    // two tiles, of either side
  static constexpr size_t kBlockRows = 512;  // activation rows whose sums are kept
};

// Unpacks a piece of the panel: [pairs of 16 weight rows][k tiles][2][B tile: 16 pairs of numbers x 16 rows x 2].
inline void UnpackTiles(const WeightView& w, size_t n_begin, size_t n_end, Piece piece, Scratch* scratch, uint16_t* panel) {
  const size_t k_tiles = (piece.end - piece.begin + 31) / 32;
  const size_t stride = k_tiles * 32 + 16;
  scratch->rows.Reserve(16 * stride);
  float* floats = scratch->rows.data();
  const size_t vectors = (n_end - n_begin + AmxBlocks::kPairRows - 1) / AmxBlocks::kPairRows * 2;
  for (size_t vector = 0; vector < vectors; ++vector) {
    DecodeSixteenRows(w, n_begin + vector * 16, n_end, piece, k_tiles * 32, stride, floats);
    for (size_t tile = 0; tile < k_tiles; ++tile) {
      __m512i rows[16];
      for (size_t r = 0; r < 16; ++r) rows[r] = ToBf16x32(floats + r * stride + tile * 32);
      Transpose16(rows);
      uint16_t* out = panel + ((vector / 2 * k_tiles + tile) * 2 + vector % 2) * AmxBlocks::kTileNumbers;
      for (size_t pair = 0; pair < 16; ++pair) _mm512_store_si512(out + pair * 32, rows[pair]);
    }
  }
}

// 32 activation rows x 32 weight rows: a holds two rows of A tiles `a_next` numbers apart, b pairs of B tiles, c four tiles.
template <typename Tiles>
void MultiplyPairs(const uint16_t* a, size_t a_next, const uint16_t* b, size_t k_tiles, bool first, float* c) {
  constexpr size_t kPitch = 64;
  constexpr size_t kTile = AmxBlocks::kTileNumbers;
  if (first) {
    Tiles::template Zero<0>();
    Tiles::template Zero<1>();
    Tiles::template Zero<2>();
    Tiles::template Zero<3>();
  } else {
    Tiles::template Load<0>(c, kPitch);
    Tiles::template Load<1>(c + AmxBlocks::kTileFloats, kPitch);
    Tiles::template Load<2>(c + 2 * AmxBlocks::kTileFloats, kPitch);
    Tiles::template Load<3>(c + 3 * AmxBlocks::kTileFloats, kPitch);
  }
  for (size_t tile = 0; tile < k_tiles; ++tile, a += kTile, b += 2 * kTile) {
    Tiles::template StreamLoad<4>(a, kPitch);
    Tiles::template Load<6>(b, kPitch);
    Tiles::template DotBf16<0, 4, 6>();
    Tiles::template Load<7>(b + kTile, kPitch);
    Tiles::template DotBf16<1, 4, 7>();
    Tiles::template StreamLoad<5>(a + a_next, kPitch);
    Tiles::template DotBf16<2, 5, 6>();
    Tiles::template DotBf16<3, 5, 7>();
  }
  Tiles::template Store<0>(c, kPitch);
  Tiles::template Store<1>(c + AmxBlocks::kTileFloats, kPitch);
  Tiles::template Store<2>(c + 2 * AmxBlocks::kTileFloats, kPitch);
  Tiles::template Store<3>(c + 3 * AmxBlocks::kTileFloats, kPitch);
}

// Four tiles of sums to y rows from m on (below m_end), columns from n on (below n_end).
inline void StorePairs(const Product& product, const float* c, size_t m, size_t m_end, size_t n, size_t n_end) {
  for (size_t row = 0; row < AmxBlocks::kPairRows && m + row < m_end; ++row) {
    for (size_t half = 0; half < 2 && n + half * 16 < n_end; ++half) {
      const float* at = c + (row / 16 * 2 + half) * AmxBlocks::kTileFloats + row % 16 * 16;
      StoreVector(product, product.store, product.bias != nullptr, m + row, n + half * 16, Lanes(n_end - n - half * 16),
                  _mm512_loadu_ps(at));
    }
  }
}

// A part's rows [m_begin, m_end), at most kBlockRows, m_begin a multiple of 32.
template <typename Tiles>
void MultiplyRowBlock(const Product& product, const Part& part, Scratch* scratch, uint16_t* panel, float* sums) {
  const Activations::Forms& x = *product.x;
  const size_t pieces_numbers = AmxBlocks::kPieceTiles * 32;
  const size_t groups = (part.n_end - part.n_begin + AmxBlocks::kPairRows - 1) / AmxBlocks::kPairRows;
  const size_t a_next = x.k_tiles * AmxBlocks::kTileNumbers;
  const size_t k = product.w->k;
  for (size_t begin = 0; begin < k; begin += pieces_numbers) {
    const Piece piece{begin, begin + pieces_numbers < k ? begin + pieces_numbers : k};
    const size_t k_tiles = (piece.end - piece.begin + 31) / 32;
    UnpackTiles(*product.w, part.n_begin, part.n_end, piece, scratch, panel);
    for (size_t group = 0; group < groups; ++group) {
      const uint16_t* b = panel + group * k_tiles * 2 * AmxBlocks::kTileNumbers;
      for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kPairRows) {
        const uint16_t* a = x.tiles.data() + (m / 16 * x.k_tiles + begin / 32) * AmxBlocks::kTileNumbers;
        float* c = sums + ((m - part.m_begin) / AmxBlocks::kPairRows * groups + group) * 4 * AmxBlocks::kTileFloats;
        MultiplyPairs<Tiles>(a, a_next, b, k_tiles, begin == 0, c);
      }
    }
  }
  const float* c = sums;
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kPairRows) {
    for (size_t group = 0; group < groups; ++group, c += 4 * AmxBlocks::kTileFloats) {
      StorePairs(product, c, m, part.m_end, part.n_begin + group * AmxBlocks::kPairRows, part.n_end);
    }
  }
}

template <typename Tiles>
void MultiplyAmx(const Product& product, const Part& part, Scratch* scratch) {
  constexpr size_t kPanelBytes = kTilePanelRows * AmxBlocks::kPieceTiles * 32 * sizeof(uint16_t);
  constexpr size_t kSumBytes = AmxBlocks::kBlockRows * kTilePanelRows * sizeof(float);
  scratch->panel.Reserve(kPanelBytes + kSumBytes);
  auto* panel = reinterpret_cast<uint16_t*>(scratch->panel.data());
  auto* sums = reinterpret_cast<float*>(scratch->panel.data() + kPanelBytes);
  Tiles::Configure(amx::FullTiles());
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kBlockRows) {
    const size_t end = m + AmxBlocks::kBlockRows < part.m_end ? m + AmxBlocks::kBlockRows : part.m_end;
    MultiplyRowBlock<Tiles>(product, Part{part.n_begin, part.n_end, m, end}, scratch, panel, sums);
  }
  Tiles::Release();
}

}  // namespace
}  // namespace damask::kernels
