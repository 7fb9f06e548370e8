// Prefill with AMX tiles in bf16, a template over the tile backend (amx/tiles.h): the hardware, or plain C++ for tests.
//
// Weights are the A operand, rows as they lie in the file, activations the B operand: what there is most of, and is used least
// often, needs no transposing; y^T comes out and is turned while it is stored.
//
// A part is up to 512 activation rows x 512 weight rows; k goes in pieces of 512. From measurements on Xeons with AMX (2 MiB
// L2, 48 KiB L1d a core; docs/benchmarks.md):
//   - the reused operand, a group of 32 weight rows x 512 numbers (32 KB), stays in L1; activations stream past it by loads
//     that do not push it out (TILELOADDT1): 2.7 instead of 2.1 TFLOP/s;
//   - each tile load stands right before its first use; four loads and then four products is three times slower;
//   - what else the L2 holds decides: a piece of the activations (512 KB) and the part's sums (1 MB, as whole tiles: rows of
//     y at a power-of-two pitch cost 20 %). So weights are unpacked a group at a time, right before they are used, and never
//     all of a part's: 57 -> 67 % of the tile peak;
//   - all vector work is done between the products: the next group's weights, a row at a time; the way of the finished sums
//     to y, a block late; lines of y and of the next sums are fetched;
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
  static constexpr size_t kPairRows =
      kTilePanelRows;                         // two tiles, of either side: a group of weight rows, a block of activation rows
  static constexpr size_t kRowsAtOnce = 512;  // activation rows whose sums are kept
  static constexpr size_t kBlockFloats = 4 * kTileFloats;
  // A group's weights: rows of a piece of k, an odd number of cache lines apart, so that a tile's rows do not share cache sets.
  static constexpr size_t kGroupPitch = kPieceTiles * 32 + 32;
  static constexpr size_t kGroupNumbers = kPairRows * kGroupPitch;
};

inline void UnpackBf16Row(const std::byte* from, size_t count, size_t k_tiles, uint16_t* out) {
  const auto* numbers = reinterpret_cast<const uint16_t*>(from);
  for (size_t tile = 0; tile < k_tiles; ++tile, numbers += 32, out += 32) {
    const size_t left = count - tile * 32;
    const auto mask = static_cast<__mmask32>(left >= 32 ? 0xffffffffu : (1u << left) - 1);
    _mm512_store_si512(out, _mm512_maskz_loadu_epi16(mask, numbers));
  }
}

// Q8_0: a block is a tile's row. k is a multiple of 32, as the format has it.
inline void UnpackQ8Row(const std::byte* block, size_t k_tiles, uint16_t* out) {
  constexpr size_t kBlockBytes = 34;
  for (size_t tile = 0; tile < k_tiles; ++tile, block += kBlockBytes, out += 32) {
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

inline void UnpackRowByFloats(formats::TensorType type, const std::byte* from, size_t count, size_t k_tiles, float* floats,
                              uint16_t* out) {
  avx512::DequantizeRow(type, from, count, floats);
  for (size_t i = count; i < k_tiles * 32; ++i) floats[i] = 0.0f;
  for (size_t tile = 0; tile < k_tiles; ++tile) _mm512_store_si512(out + tile * 32, ToBf16x32(floats + tile * 32));
}

// The pieces of k.
inline constexpr size_t kPieceNumbers = AmxBlocks::kPieceTiles * 32;
inline Piece PieceAt(size_t begin, size_t k) { return {begin, begin + kPieceNumbers < k ? begin + kPieceNumbers : k}; }
inline size_t PiecesOf(size_t k) { return (k + kPieceNumbers - 1) / kPieceNumbers; }
inline size_t TilesOf(size_t numbers) { return (numbers + 31) / 32; }
// Groups of as many weight rows, blocks of as many activation rows.
inline size_t PairsOf(size_t rows) { return (rows + AmxBlocks::kPairRows - 1) / AmxBlocks::kPairRows; }

// One piece of k of all weight rows.
struct WeightPiece {
  formats::TensorType type;
  const std::byte* data;  // of row 0
  size_t row_bytes;       // from one row to the next
  size_t bytes;           // of a row's piece
  size_t numbers;
  size_t rows;
};
inline WeightPiece WeightPieceOf(const WeightView& w, Piece piece) {
  const size_t numbers = piece.end - piece.begin;
  return {w.type,
          w.data + formats::RowBytes(w.type, piece.begin),
          formats::RowBytes(w.type, w.k),
          formats::RowBytes(w.type, numbers),
          numbers,
          w.n};
}

// Weight row n to row r of a group; zeros where n is n_end or beyond. `floats` [512].
inline void UnpackGroupRow(const WeightPiece& w, size_t n, size_t n_end, float* floats, uint16_t* group, size_t r) {
  const size_t k_tiles = TilesOf(w.numbers);
  uint16_t* const out = group + r * AmxBlocks::kGroupPitch;
  if (n >= n_end) {
    for (size_t tile = 0; tile < k_tiles; ++tile) _mm512_store_si512(out + tile * 32, _mm512_setzero_si512());
    return;
  }
  const std::byte* const from = w.data + n * w.row_bytes;
  // The same piece of a row that comes soon: the pieces are too short for the hardware to see where they lead.
  constexpr size_t kRowsAhead = 4;
  if (n + kRowsAhead < w.rows) {
    for (size_t i = 0; i < w.bytes; i += kCacheLine) __builtin_prefetch(from + kRowsAhead * w.row_bytes + i, 0, 2);
  }
  if (w.type == formats::TensorType::kBF16) {
    UnpackBf16Row(from, w.numbers, k_tiles, out);
  } else if (w.type == formats::TensorType::kQ8_0) {
    UnpackQ8Row(from, k_tiles, out);
  } else {
    UnpackRowByFloats(w.type, from, w.numbers, k_tiles, floats, out);
  }
}

// Groups that are kept (--repack): [groups][pieces of k][group].
inline size_t AmxPanelBytes(size_t k, size_t rows) {
  return PairsOf(rows) * PiecesOf(k) * AmxBlocks::kGroupNumbers * sizeof(uint16_t);
}
inline void UnpackAmxPanel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, uint16_t* out) {
  scratch->rows.Reserve(kPieceNumbers);
  for (size_t n = n_begin; n < n_end; n += AmxBlocks::kPairRows) {
    for (size_t begin = 0; begin < w.k; begin += kPieceNumbers, out += AmxBlocks::kGroupNumbers) {
      const WeightPiece piece = WeightPieceOf(w, PieceAt(begin, w.k));
      for (size_t r = 0; r < AmxBlocks::kPairRows; ++r) UnpackGroupRow(piece, n + r, n_end, scratch->rows.data(), out, r);
    }
  }
}

// A group of weight rows and a piece of k.
struct AmxGroup {
  size_t n;
  Piece piece;
};

// std::swap would be an inline function compiled for this file's instruction set, of which the linker may take the copy.
template <typename T>
void Swap(T* (&buffers)[2]) {
  T* const first = buffers[0];
  buffers[0] = buffers[1];
  buffers[1] = first;
}

// Makes a part's groups one ahead, a row at a time, in two buffers in turn; where groups are kept, it fetches them.
class GroupStream {
 public:
  // `buffers`: two groups.
  GroupStream(const WeightView& w, const Part& part, const uint16_t* kept, uint16_t* buffers, float* floats)
      : w_(w),
        n_begin_(part.n_begin),
        n_end_(part.n_end),
        kept_(kept),
        buffers_{buffers, buffers + AmxBlocks::kGroupNumbers},
        floats_(floats) {}

  void Begin(const AmxGroup& group) {
    const size_t index = (group.n - n_begin_) / AmxBlocks::kPairRows * PiecesOf(w_.k) + group.piece.begin / kPieceNumbers;
    n_ = group.n;
    piece_ = WeightPieceOf(w_, group.piece);
    kept_group_ = kept_ == nullptr ? nullptr : kept_ + index * AmxBlocks::kGroupNumbers;
    row_ = 0;
  }
  // One of kPairRows rows. Further calls do nothing.
  void Row() {
    if (row_ == AmxBlocks::kPairRows) return;
    if (kept_group_ == nullptr) {
      UnpackGroupRow(piece_, n_ + row_, n_end_, floats_, buffers_[0], row_);
    } else {
      const uint16_t* const row = kept_group_ + row_ * AmxBlocks::kGroupPitch;
      for (size_t i = 0; i < AmxBlocks::kGroupPitch; i += 32) __builtin_prefetch(row + i, 0, 2);
    }
    ++row_;
  }
  // The group, complete; the other buffer is free then.
  const uint16_t* Take() {
    while (row_ < AmxBlocks::kPairRows) Row();
    if (kept_group_ != nullptr) return kept_group_;
    Swap(buffers_);
    return buffers_[1];
  }

 private:
  const WeightView& w_;
  size_t n_begin_;
  size_t n_end_;
  const uint16_t* kept_;
  uint16_t* buffers_[2];
  float* floats_;
  size_t n_ = 0;  // of the group that is being made
  WeightPiece piece_{};
  const uint16_t* kept_group_ = nullptr;
  size_t row_ = AmxBlocks::kPairRows;
};

// 32 weight rows x 32 activation rows: `w` is a group, `x` two rows of B tiles `x_next` numbers apart. Sums begin with the four
// tiles at `from` (null: with zeros) and go to `to`: [2 of activation rows][2 of weight rows], each [16 weight rows][16
// activation rows]. between(tile) is called behind the products of every tile of k.
template <typename Tiles, typename Between>
[[gnu::always_inline]] inline void MultiplyPairs(const uint16_t* w, const uint16_t* x, size_t x_next, size_t k_tiles,
                                                 const float* from, float* to, const Between& between) {
  constexpr size_t kPitch = 64;
  constexpr size_t kWeightPitch = AmxBlocks::kGroupPitch * sizeof(uint16_t);
  constexpr size_t kTile = AmxBlocks::kTileNumbers;
  if (from == nullptr) {
    Tiles::template Zero<0>();
    Tiles::template Zero<1>();
    Tiles::template Zero<2>();
    Tiles::template Zero<3>();
  } else {
    Tiles::template Load<0>(from, kPitch);
    Tiles::template Load<1>(from + AmxBlocks::kTileFloats, kPitch);
    Tiles::template Load<2>(from + 2 * AmxBlocks::kTileFloats, kPitch);
    Tiles::template Load<3>(from + 3 * AmxBlocks::kTileFloats, kPitch);
  }
  for (size_t tile = 0; tile < k_tiles; ++tile, w += 32, x += kTile) {
    Tiles::template StreamLoad<4>(x, kPitch);
    Tiles::template Load<6>(w, kWeightPitch);
    Tiles::template DotBf16<0, 6, 4>();
    Tiles::template Load<7>(w + 16 * AmxBlocks::kGroupPitch, kWeightPitch);
    Tiles::template DotBf16<1, 7, 4>();
    Tiles::template StreamLoad<5>(x + x_next, kPitch);
    Tiles::template DotBf16<2, 6, 5>();
    Tiles::template DotBf16<3, 7, 5>();
    between(tile);
  }
  Tiles::template Store<0>(to, kPitch);
  Tiles::template Store<1>(to + AmxBlocks::kTileFloats, kPitch);
  Tiles::template Store<2>(to + 2 * AmxBlocks::kTileFloats, kPitch);
  Tiles::template Store<3>(to + 3 * AmxBlocks::kTileFloats, kPitch);
}

// Finished sums of a block on their way to y: they wait in one of two buffers until the products of the next block run.
class AmxEnding {
 public:
  // `buffers`: two blocks.
  AmxEnding(const Product& product, const Part& part, float* buffers)
      : product_(product), m_end_(part.m_end), n_end_(part.n_end), buffers_{buffers, buffers + AmxBlocks::kBlockFloats} {}

  // Where the products of the next block are to end.
  float* buffer() { return buffers_[0]; }
  // That block, of y from row m and column n on, is complete; the one before must have been finished.
  void Begin(size_t m, size_t n) {
    Swap(buffers_);
    m_ = m;
    n_ = n;
    tile_ = 0;
  }
  // One of the four tiles. Further calls do nothing.
  void Tile() {
    if (tile_ == 4) return;
    const size_t row = m_ + tile_ / 2 * 16;
    const size_t column = n_ + tile_ % 2 * 16;
    const float* const c = buffers_[1] + tile_ * AmxBlocks::kTileFloats;
    ++tile_;
    if (row >= m_end_ || column >= n_end_) return;
    __m512i rows[16];
    for (size_t i = 0; i < 16; ++i) rows[i] = _mm512_load_si512(c + i * 16);
    Transpose16(rows);
    for (size_t i = 0; i < 16 && row + i < m_end_; ++i) {
      StoreVector(product_, product_.store, product_.bias != nullptr, row + i, column, Lanes(n_end_ - column),
                  _mm512_castsi512_ps(rows[i]));
    }
  }
  void Finish() {
    while (tile_ < 4) Tile();
  }

 private:
  const Product& product_;
  size_t m_end_;
  size_t n_end_;
  float* buffers_[2];
  size_t m_ = 0;
  size_t n_ = 0;
  size_t tile_ = 4;
};

// The memory of a part: sums of its blocks, two buffers for finished ones, two groups of weights.
struct AmxScratch {
  static constexpr size_t kSums = AmxBlocks::kRowsAtOnce * kTilePartRows;  // floats
  static constexpr size_t kEnds = 2 * AmxBlocks::kBlockFloats;             // floats
  static constexpr size_t kBytes = (kSums + kEnds) * sizeof(float) + 2 * AmxBlocks::kGroupNumbers * sizeof(uint16_t);
  float* sums;  // [groups of weight rows][blocks of activation rows][4 tiles]
  float* ends;
  uint16_t* groups;
  uint16_t* panel;  // where panel_bytes were asked for

  AmxScratch(size_t panel_bytes, Scratch* scratch) {
    scratch->panel.Reserve(kBytes + panel_bytes < kHugePage ? kHugePage : kBytes + panel_bytes);
    sums = reinterpret_cast<float*>(scratch->panel.data());
    ends = sums + kSums;
    groups = reinterpret_cast<uint16_t*>(ends + kEnds);
    panel = groups + 2 * AmxBlocks::kGroupNumbers;
  }
};

// Fetches for writing the two lines of 32 columns of two rows of y.
[[gnu::always_inline]] inline void FetchTwoRows(const float* y, size_t y_stride) {
  __builtin_prefetch(y, 1, 3);
  __builtin_prefetch(y + 16, 1, 3);
  __builtin_prefetch(y + y_stride, 1, 3);
  __builtin_prefetch(y + y_stride + 16, 1, 3);
}

// A group times a part's activation rows, block by block.
template <typename Tiles>
void MultiplyGroup(const Product& product, const Part& part, const AmxGroup& group, const uint16_t* w, float* sums,
                   GroupStream* stream, AmxEnding* ending) {
  const Activations::Forms& x = *product.x;
  const size_t x_next = x.k_tiles * AmxBlocks::kTileNumbers;
  const size_t k_tiles = TilesOf(group.piece.end - group.piece.begin);
  const bool last = group.piece.end == product.w->k;
  const size_t steps = PairsOf(part.m_end - part.m_begin) * k_tiles;
  const size_t steps_of_tile = (k_tiles + 3) / 4;
  size_t due = 0;
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kPairRows, sums += AmxBlocks::kBlockFloats) {
    const uint16_t* const rows = x.tiles.data() + (m / 16 * x.k_tiles + group.piece.begin / 32) * AmxBlocks::kTileNumbers;
    const float* const from = group.piece.begin == 0 ? nullptr : sums;
    const auto between = [&](size_t tile) __attribute__((always_inline)) {
      const float* const next = sums + AmxBlocks::kBlockFloats + tile * 64;
      for (size_t i = 0; i < 64; i += 16) __builtin_prefetch(next + i, 0, 3);
      for (due += AmxBlocks::kPairRows; due >= steps; due -= steps) stream->Row();
    };
    if (!last) {
      MultiplyPairs<Tiles>(w, rows, x_next, k_tiles, from, sums, between);
      continue;
    }
    const float* const y = product.y + m * product.y_stride + group.n;
    MultiplyPairs<Tiles>(
        w, rows, x_next, k_tiles, from, ending->buffer(), [&](size_t tile) __attribute__((always_inline)) {
          between(tile);
          if (m + 2 * tile + 1 < part.m_end) FetchTwoRows(y + 2 * tile * product.y_stride, product.y_stride);
          if (tile % steps_of_tile == steps_of_tile - 1) ending->Tile();
        });
    ending->Finish();
    ending->Begin(m, group.n);
  }
}

// A part's rows [m_begin, m_end), at most kRowsAtOnce, m_begin a multiple of 32.
template <typename Tiles>
void MultiplyRows(const Product& product, const Part& part, const AmxScratch& memory, GroupStream* stream) {
  const size_t k = product.w->k;
  const size_t blocks = PairsOf(part.m_end - part.m_begin);
  AmxEnding ending(product, part, memory.ends);
  AmxGroup group{part.n_begin, PieceAt(0, k)};
  stream->Begin(group);
  while (group.piece.begin < k) {
    const uint16_t* const w = stream->Take();
    AmxGroup next{group.n + AmxBlocks::kPairRows, group.piece};
    if (next.n >= part.n_end) next = AmxGroup{part.n_begin, PieceAt(group.piece.end, k)};
    if (next.piece.begin < k) stream->Begin(next);
    float* const sums = memory.sums + (group.n - part.n_begin) / AmxBlocks::kPairRows * blocks * AmxBlocks::kBlockFloats;
    MultiplyGroup<Tiles>(product, part, group, w, sums, stream, &ending);
    group = next;
  }
  ending.Finish();
}

template <typename Tiles>
void MultiplyAmx(const Product& product, const Part& part, Scratch* scratch) {
  const WeightView& w = *product.w;
  const size_t rows = part.n_end - part.n_begin;
  const std::byte* const packed = PackedPanel(product, part, AmxPanelBytes(w.k, kTilePanelRows), kTilePanelRows);
  // What would be unpacked more than once is kept for the call.
  const bool keep = packed == nullptr && part.m_end - part.m_begin > AmxBlocks::kRowsAtOnce;
  const AmxScratch memory(keep ? AmxPanelBytes(w.k, rows) : 0, scratch);
  scratch->rows.Reserve(kPieceNumbers);
  if (keep) UnpackAmxPanel(w, part.n_begin, part.n_end, scratch, memory.panel);
  GroupStream stream(w, part, keep ? memory.panel : reinterpret_cast<const uint16_t*>(packed), memory.groups,
                     scratch->rows.data());
  Tiles::Configure(amx::FullTiles());
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kRowsAtOnce) {
    const size_t end = m + AmxBlocks::kRowsAtOnce < part.m_end ? m + AmxBlocks::kRowsAtOnce : part.m_end;
    MultiplyRows<Tiles>(product, Part{part.n_begin, part.n_end, m, end}, memory, &stream);
  }
  Tiles::Release();
}

}  // namespace
}  // namespace damask::kernels
