// Prefill with AMX tiles in bf16, a template over the tile backend (amx/tiles.h): the hardware, or plain C++ for tests.
//
// Weights are the A operand, rows as they lie in the file, activations the B operand: what there is most of, and is used least
// often, needs no transposing; y^T comes out and is turned while it is stored.
//
// From measurements on Xeons with AMX (2 MiB L2, 48 KiB L1d a core; docs/benchmarks.md):
//   - the reused operand, 32 weight rows x 512 numbers (32 KB), stays in L1; activations stream past it by loads that do not
//     push it out (TILELOADDT1): 2.7 instead of 2.1 TFLOP/s;
//   - each tile load stands right before its first use; four loads and then four products is three times slower;
//   - the sums of 512 rows x 256 columns stay in L2 between pieces of k, as whole tiles: rows of y at a power-of-two pitch cost
//     20 %;
//   - a part's weights are unpacked once for all rows of the call: once for each 512 of them it took a quarter of the time;
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

// Sixteen rows of weights as A tiles: [k tiles][16 rows][32], `tile_stride` numbers from one tile to the next.
inline void UnpackBf16(const WeightView& w, size_t n, size_t n_end, Piece piece, size_t k_tiles, size_t tile_stride,
                       uint16_t* panel) {
  for (size_t r = 0; r < 16; ++r) {
    const auto* row = reinterpret_cast<const uint16_t*>(w.data) + (n + r) * w.k;
    for (size_t tile = 0; tile < k_tiles; ++tile) {
      const size_t k = piece.begin + tile * 32;
      const size_t count = n + r >= n_end ? 0 : piece.end - k < 32 ? piece.end - k : 32;
      const auto mask = static_cast<__mmask32>(count == 32 ? 0xffffffffu : (1u << count) - 1);
      _mm512_store_si512(panel + tile * tile_stride + r * 32, _mm512_maskz_loadu_epi16(mask, row + k));
    }
  }
}

// Q8_0: a block is a tile's row. k is a multiple of 32, as the format has it.
inline void UnpackQ8(const WeightView& w, size_t n, size_t n_end, Piece piece, size_t k_tiles, size_t tile_stride,
                     uint16_t* panel) {
  constexpr size_t kBlockBytes = 34;
  const size_t row_bytes = formats::RowBytes(w.type, w.k);
  for (size_t r = 0; r < 16; ++r) {
    uint16_t* out = panel + r * 32;
    if (n + r >= n_end) {
      for (size_t tile = 0; tile < k_tiles; ++tile) _mm512_store_si512(out + tile * tile_stride, _mm512_setzero_si512());
      continue;
    }
    const std::byte* block = w.data + (n + r) * row_bytes + formats::RowBytes(w.type, piece.begin);
    for (size_t tile = 0; tile < k_tiles; ++tile, block += kBlockBytes, out += tile_stride) {
      // The same piece of two rows on: the pieces are too short for the hardware to see where they lead.
      // NOLINTNEXTLINE(performance-no-int-to-ptr): perhaps behind the weights
      _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(block) + 2 * row_bytes), _MM_HINT_T0);
      uint16_t half;
      __builtin_memcpy(&half, block, sizeof(half));
      const __m512 scale = _mm512_set1_ps(_cvtsh_ss(half));
      const auto* const numbers = reinterpret_cast<const __m128i*>(block + 2);
      const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(numbers)));
      const __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(numbers + 1)));
      const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_mul_ps(high, scale), _mm512_mul_ps(low, scale));
      _mm512_store_si512(out, reinterpret_cast<__m512i>(both));
    }
  }
}

inline void UnpackByFloats(const WeightView& w, size_t n, size_t n_end, Piece piece, size_t k_tiles, size_t tile_stride,
                           Scratch* scratch, uint16_t* panel) {
  const size_t stride = k_tiles * 32 + 16;
  scratch->rows.Reserve(16 * stride);
  float* const floats = scratch->rows.data();
  DecodeSixteenRows(w, n, n_end, piece, k_tiles * 32, stride, floats);
  for (size_t r = 0; r < 16; ++r) {
    for (size_t tile = 0; tile < k_tiles; ++tile) {
      _mm512_store_si512(panel + tile * tile_stride + r * 32, ToBf16x32(floats + r * stride + tile * 32));
    }
  }
}

// Unpacks a piece of the panel: [pairs of 16 weight rows][k tiles][2][A tile].
inline void UnpackTiles(const WeightView& w, size_t n_begin, size_t n_end, Piece piece, Scratch* scratch, uint16_t* panel) {
  const size_t k_tiles = (piece.end - piece.begin + 31) / 32;
  constexpr size_t kStride = 2 * AmxBlocks::kTileNumbers;
  const size_t vectors = (n_end - n_begin + AmxBlocks::kPairRows - 1) / AmxBlocks::kPairRows * 2;
  for (size_t vector = 0; vector < vectors; ++vector) {
    const size_t n = n_begin + vector * 16;
    uint16_t* const out = panel + (vector / 2 * k_tiles * 2 + vector % 2) * AmxBlocks::kTileNumbers;
    if (w.type == formats::TensorType::kBF16) {
      UnpackBf16(w, n, n_end, piece, k_tiles, kStride, out);
    } else if (w.type == formats::TensorType::kQ8_0) {
      UnpackQ8(w, n, n_end, piece, k_tiles, kStride, out);
    } else {
      UnpackByFloats(w, n, n_end, piece, k_tiles, kStride, scratch, out);
    }
  }
}

// 32 weight rows x 32 activation rows: `w` holds pairs of A tiles, `x` two rows of B tiles `x_next` numbers apart, c four tiles
// [2 of activation rows][2 of weight rows], each [16 weight rows][16 activation rows].
template <typename Tiles>
void MultiplyPairs(const uint16_t* w, const uint16_t* x, size_t x_next, size_t k_tiles, bool first, float* c) {
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
  for (size_t tile = 0; tile < k_tiles; ++tile, w += 2 * kTile, x += kTile) {
    Tiles::template StreamLoad<4>(x, kPitch);
    Tiles::template Load<6>(w, kPitch);
    Tiles::template DotBf16<0, 6, 4>();
    Tiles::template Load<7>(w + kTile, kPitch);
    Tiles::template DotBf16<1, 7, 4>();
    Tiles::template StreamLoad<5>(x + x_next, kPitch);
    Tiles::template DotBf16<2, 6, 5>();
    Tiles::template DotBf16<3, 7, 5>();
  }
  Tiles::template Store<0>(c, kPitch);
  Tiles::template Store<1>(c + AmxBlocks::kTileFloats, kPitch);
  Tiles::template Store<2>(c + 2 * AmxBlocks::kTileFloats, kPitch);
  Tiles::template Store<3>(c + 3 * AmxBlocks::kTileFloats, kPitch);
}

// Four tiles of sums to y rows from m on (below m_end), columns from n on (below n_end).
inline void StorePairs(const Product& product, const float* c, size_t m, size_t m_end, size_t n, size_t n_end) {
  for (size_t tile = 0; tile < 4; ++tile, c += AmxBlocks::kTileFloats) {
    const size_t row = m + tile / 2 * 16;
    const size_t column = n + tile % 2 * 16;
    if (row >= m_end || column >= n_end) continue;
    __m512i rows[16];
    for (size_t i = 0; i < 16; ++i) rows[i] = _mm512_load_si512(c + i * 16);
    Transpose16(rows);
    for (size_t i = 0; i < 16 && row + i < m_end; ++i) {
      StoreVector(product, product.store, product.bias != nullptr, row + i, column, Lanes(n_end - column),
                  _mm512_castsi512_ps(rows[i]));
    }
  }
}

// What a part works on: its unpacked weights, piece after piece of k, and the sums of one row block.
struct AmxPanel {
  const uint16_t* weights;  // [pieces of k][pairs of weight rows][k tiles of the piece][2][A tile]
  float* sums;              // [pairs of activation rows][pairs of weight rows][4 tiles]
  size_t groups;            // pairs of weight rows

  static constexpr size_t kPieceNumbers = AmxBlocks::kPieceTiles * 32;
  static Piece PieceAt(size_t begin, size_t k) { return {begin, begin + kPieceNumbers < k ? begin + kPieceNumbers : k}; }
  static size_t GroupsOf(size_t rows) { return (rows + AmxBlocks::kPairRows - 1) / AmxBlocks::kPairRows; }
  // Where the piece of k that starts at `begin` lies, in numbers.
  static size_t OffsetOf(size_t begin, size_t groups) { return begin * groups * AmxBlocks::kPairRows; }
  const uint16_t* WeightsAt(size_t begin) const { return weights + OffsetOf(begin, groups); }
};

inline size_t AmxPanelBytes(size_t k, size_t rows) {
  return (k + 31) / 32 * 32 * AmxPanel::GroupsOf(rows) * AmxBlocks::kPairRows * sizeof(uint16_t);
}

// All of k for weight rows [n_begin, n_end).
inline void UnpackAmxPanel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, uint16_t* out) {
  for (size_t begin = 0; begin < w.k; begin += AmxPanel::kPieceNumbers) {
    UnpackTiles(w, n_begin, n_end, AmxPanel::PieceAt(begin, w.k), scratch,
                out + AmxPanel::OffsetOf(begin, AmxPanel::GroupsOf(n_end - n_begin)));
  }
}

// A part's rows [m_begin, m_end), at most kBlockRows, m_begin a multiple of 32.
template <typename Tiles>
void MultiplyRowBlock(const Product& product, const Part& part, const AmxPanel& panel) {
  const Activations::Forms& x = *product.x;
  const size_t x_next = x.k_tiles * AmxBlocks::kTileNumbers;
  const size_t k = product.w->k;
  for (size_t begin = 0; begin < k; begin += AmxPanel::kPieceNumbers) {
    const Piece piece = AmxPanel::PieceAt(begin, k);
    const size_t k_tiles = (piece.end - piece.begin + 31) / 32;
    for (size_t group = 0; group < panel.groups; ++group) {
      const uint16_t* w = panel.WeightsAt(begin) + group * k_tiles * 2 * AmxBlocks::kTileNumbers;
      for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kPairRows) {
        const uint16_t* rows = x.tiles.data() + (m / 16 * x.k_tiles + begin / 32) * AmxBlocks::kTileNumbers;
        float* c = panel.sums + ((m - part.m_begin) / AmxBlocks::kPairRows * panel.groups + group) * 4 * AmxBlocks::kTileFloats;
        MultiplyPairs<Tiles>(w, rows, x_next, k_tiles, begin == 0, c);
      }
    }
  }
  const float* c = panel.sums;
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kPairRows) {
    for (size_t group = 0; group < panel.groups; ++group, c += 4 * AmxBlocks::kTileFloats) {
      StorePairs(product, c, m, part.m_end, part.n_begin + group * AmxBlocks::kPairRows, part.n_end);
    }
  }
}

template <typename Tiles>
void MultiplyAmx(const Product& product, const Part& part, Scratch* scratch) {
  const WeightView& w = *product.w;
  const size_t rows = part.n_end - part.n_begin;
  constexpr size_t kSumBytes = AmxBlocks::kBlockRows * kTilePanelRows * sizeof(float);
  const std::byte* weights = PackedPanel(product, part, AmxPanelBytes(w.k, kTilePanelRows), kTilePanelRows);
  scratch->panel.Reserve(kSumBytes + (weights == nullptr ? AmxPanelBytes(w.k, rows) : 0));
  if (weights == nullptr) {
    std::byte* const unpacked = scratch->panel.data() + kSumBytes;
    UnpackAmxPanel(w, part.n_begin, part.n_end, scratch, reinterpret_cast<uint16_t*>(unpacked));
    weights = unpacked;
  }
  const AmxPanel panel{reinterpret_cast<const uint16_t*>(weights), reinterpret_cast<float*>(scratch->panel.data()),
                       AmxPanel::GroupsOf(rows)};
  Tiles::Configure(amx::FullTiles());
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kBlockRows) {
    const size_t end = m + AmxBlocks::kBlockRows < part.m_end ? m + AmxBlocks::kBlockRows : part.m_end;
    MultiplyRowBlock<Tiles>(product, Part{part.n_begin, part.n_end, m, end}, panel);
  }
  Tiles::Release();
}

}  // namespace
}  // namespace damask::kernels
