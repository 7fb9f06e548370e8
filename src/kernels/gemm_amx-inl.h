// Prefill with AMX tiles in bf16, a template over the tile backend (amx/tiles.h): the hardware, or plain C++ for tests.
//
// Weights are the A operand, rows as they lie in the file, activations the B operand: what there is most of, and is used least
// often, needs no transposing; y^T comes out and is turned while it is stored.
//
// A part is up to 512 activation rows x 512 weight rows; k goes in pieces of 512. From measurements on Xeons with AMX (2 MiB
// L2, 48 KiB L1d a core; docs/engineering-notes.md):
//   - the reused operand, a group of 32 weight rows x 512 numbers (32 KB), stays in L1; activations stream past it by loads
//     that do not push it out (TILELOADDT1): 2.7 instead of 2.1 TFLOP/s;
//   - each tile load stands right before its first use; four loads and then four products is three times slower;
//   - what else the L2 holds decides: a piece of the activations (512 KB) and the part's sums (1 MB, as whole tiles: rows of
//     y at a power-of-two pitch cost 20 %). So weights are unpacked a group at a time, right before they are used, and never
//     all of a part's: 57 -> 67 % of the tile peak;
//   - all vector work is done between the products: the next group's weights, 64 numbers at a time; the way of the finished
//     sums to y, a block late; lines of y and of the next sums are fetched;
//   - activations come in tile order from Load, or from the product before: packing them inside the product cost 15 %;
//   - gate and up of a feed-forward network are multiplied group by group in turn, so that what the next product reads is made
//     of sums that are still near: neither product's y is written, 2/3 of what they bring.
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
  size_t tile_bytes;      // of a row's 32 numbers
  size_t numbers;
  size_t rows;
};
inline WeightPiece WeightPieceOf(const WeightView& w, Piece piece) {
  const size_t numbers = piece.end - piece.begin;
  return {w.type,
          w.data + formats::RowBytes(w.type, piece.begin),
          formats::RowBytes(w.type, w.k),
          formats::RowBytes(w.type, kPieceNumbers) / AmxBlocks::kPieceTiles,
          numbers,
          w.n};
}

// A stretch of a piece of k, in tiles.
struct TileRange {
  size_t begin;
  size_t end;
};

// Weight row n to row r of a group, a stretch of it; zeros where n is n_end or beyond. Types that are unpacked by way of floats
// take the whole row with its first stretch. `floats` [512].
inline void UnpackGroupRow(const WeightPiece& w, size_t n, size_t n_end, TileRange tiles, float* floats, uint16_t* group,
                           size_t r) {
  uint16_t* const out = group + r * AmxBlocks::kGroupPitch + tiles.begin * 32;
  const size_t count = tiles.end - tiles.begin;
  if (n >= n_end) {
    for (size_t tile = 0; tile < count; ++tile) _mm512_store_si512(out + tile * 32, _mm512_setzero_si512());
    return;
  }
  const std::byte* const row = w.data + n * w.row_bytes;
  // The same piece of a row that comes soon: the pieces are too short for the hardware to see where they lead.
  constexpr size_t kRowsAhead = 4;
  const size_t begin = w.tile_bytes * tiles.begin;
  if (n + kRowsAhead < w.rows) {
    const std::byte* const ahead = row + kRowsAhead * w.row_bytes + begin;
    for (size_t i = 0; i < w.tile_bytes * count; i += kCacheLine) __builtin_prefetch(ahead + i, 0, 2);
    __builtin_prefetch(ahead + w.tile_bytes * count - 1, 0, 2);
  }
  if (w.type == formats::TensorType::kBF16) {
    UnpackBf16Row(row + begin, w.numbers - tiles.begin * 32, count, out);
  } else if (w.type == formats::TensorType::kQ8_0) {
    UnpackQ8Row(row + begin, count, out);
  } else if (tiles.begin == 0) {
    UnpackRowByFloats(w.type, row, w.numbers, TilesOf(w.numbers), floats, out);
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
      for (size_t r = 0; r < AmxBlocks::kPairRows; ++r)
        UnpackGroupRow(piece, n + r, n_end, {0, TilesOf(piece.numbers)}, scratch->rows.data(), out, r);
    }
  }
}

// What a part multiplies with: weights, and their groups where those are kept.
struct AmxWeights {
  const WeightView* w;
  const uint16_t* kept;
};

// A group of weight rows, of one of the part's weights, and a piece of k.
struct AmxGroup {
  size_t which;
  size_t n;
  Piece piece;
};

// The order of groups: pieces of k, in each all groups of rows, of each those of all `count` weights. Beyond the last one the
// piece begins at k.
inline AmxGroup NextGroup(AmxGroup group, size_t count, const Part& part, size_t k) {
  if (++group.which < count) return group;
  group.which = 0;
  group.n += AmxBlocks::kPairRows;
  if (group.n < part.n_end) return group;
  return AmxGroup{0, part.n_begin, PieceAt(group.piece.end, k)};
}

// std::swap would be an inline function compiled for this file's instruction set, of which the linker may take the copy.
template <typename T>
void Swap(T* (&buffers)[2]) {
  T* const first = buffers[0];
  buffers[0] = buffers[1];
  buffers[1] = first;
}

// Makes a part's groups one ahead, a little at a time, in two buffers in turn, or each in its place among those that are to be
// kept; where groups are kept, it fetches them.
class GroupStream {
 public:
  // `buffers`: two groups. `panel`: where the groups of the only weights are to be kept, or null.
  GroupStream(const AmxWeights* weights, const Part& part, uint16_t* buffers, float* floats, uint16_t* panel = nullptr)
      : weights_(weights),
        n_begin_(part.n_begin),
        n_end_(part.n_end),
        buffers_{buffers, buffers + AmxBlocks::kGroupNumbers},
        panel_(panel),
        floats_(floats) {}

  void Begin(const AmxGroup& group) {
    const AmxWeights& from = weights_[group.which];
    const size_t index = (group.n - n_begin_) / AmxBlocks::kPairRows * PiecesOf(from.w->k) + group.piece.begin / kPieceNumbers;
    n_ = group.n;
    piece_ = WeightPieceOf(*from.w, group.piece);
    kept_group_ = from.kept == nullptr ? nullptr : from.kept + index * AmxBlocks::kGroupNumbers;
    if (panel_ != nullptr) buffers_[0] = panel_ + index * AmxBlocks::kGroupNumbers;
    k_tiles_ = TilesOf(piece_.numbers);
    row_ = 0;
    tile_ = 0;
  }
  // A group takes that many steps; further ones do nothing.
  size_t steps() const { return AmxBlocks::kPairRows * ((k_tiles_ + kTilesOfStep - 1) / kTilesOfStep); }
  void Step() {
    if (row_ == AmxBlocks::kPairRows) return;
    const TileRange tiles = {tile_, tile_ + kTilesOfStep < k_tiles_ ? tile_ + kTilesOfStep : k_tiles_};
    if (kept_group_ == nullptr) {
      UnpackGroupRow(piece_, n_ + row_, n_end_, tiles, floats_, buffers_[0], row_);
    } else {
      const uint16_t* const row = kept_group_ + row_ * AmxBlocks::kGroupPitch;
      for (size_t i = tiles.begin; i < tiles.end; ++i) __builtin_prefetch(row + i * 32, 0, 2);
    }
    tile_ = tiles.end;
    if (tile_ < k_tiles_) return;
    tile_ = 0;
    ++row_;
  }
  // The group, complete; the other buffer is free then.
  const uint16_t* Take() {
    while (row_ < AmxBlocks::kPairRows) Step();
    if (kept_group_ != nullptr) return kept_group_;
    Swap(buffers_);
    return buffers_[1];
  }

 private:
  // As much as one step between products brings in a full part: a whole row at once, every eighth step, hides less behind them.
  static constexpr size_t kTilesOfStep = 2;

  const AmxWeights* weights_;
  size_t n_begin_;
  size_t n_end_;
  uint16_t* buffers_[2];
  uint16_t* panel_;
  float* floats_;
  size_t n_ = 0;  // of the group that is being made
  WeightPiece piece_{};
  const uint16_t* kept_group_ = nullptr;
  size_t k_tiles_ = 0;
  size_t row_ = AmxBlocks::kPairRows;  // comes next, from tile_ on
  size_t tile_ = 0;
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

// Row and column of y where a tile of a block begins.
inline size_t RowOfTile(size_t m, size_t tile) { return m + tile / 2 * 16; }
inline size_t ColumnOfTile(size_t n, size_t tile) { return n + tile % 2 * 16; }

// Sums become y: those of a block wait in one of two buffers until the products of the next block run.
class YEnding {
 public:
  // `buffers`: two blocks.
  YEnding(const Product& product, const Part& part, float* buffers)
      : product_(product), part_(part), buffers_{buffers, buffers + AmxBlocks::kBlockFloats} {}

  // Where the sums of a block are to end that would lie at `sums` until then.
  float* TargetOf(float* /*sums*/) { return buffers_[0]; }
  // Behind the products of every tile of k, of `k_tiles`, of the block from row m and column n on.
  void Step(size_t m, size_t n, size_t tile, size_t k_tiles) {
    FetchLines(m + 2 * tile, n);
    const size_t steps_of_tile = (k_tiles + 3) / 4;
    if (tile % steps_of_tile == steps_of_tile - 1) Tile();
  }
  // That block is complete.
  void BlockDone(size_t m, size_t n) {
    Finish();
    Swap(buffers_);
    m_ = m;
    n_ = n;
    tile_ = 0;
  }
  void GroupDone(const AmxGroup& /*group*/) {}
  void Finish() {
    while (tile_ < 4) Tile();
  }

 private:
  // One of the four tiles. Further calls do nothing.
  void Tile() {
    if (tile_ == 4) return;
    const size_t row = RowOfTile(m_, tile_);
    const size_t column = ColumnOfTile(n_, tile_);
    const float* const sums = buffers_[1] + tile_ * AmxBlocks::kTileFloats;
    ++tile_;
    if (row >= part_.m_end || column >= part_.n_end) return;
    __m512i rows[16];
    for (size_t i = 0; i < 16; ++i) rows[i] = _mm512_load_si512(sums + i * 16);
    Transpose16(rows);
    for (size_t i = 0; i < 16 && row + i < part_.m_end; ++i) {
      StoreVector(product_, product_.store, product_.bias != nullptr, row + i, column, Lanes(part_.n_end - column),
                  _mm512_castsi512_ps(rows[i]));
    }
  }
  // For writing: the two lines of 32 columns of two rows.
  void FetchLines(size_t row, size_t n) const {
    if (row + 1 >= part_.m_end) return;
    const float* const y = product_.y + row * product_.y_stride + n;
    __builtin_prefetch(y, 1, 3);
    __builtin_prefetch(y + 16, 1, 3);
    __builtin_prefetch(y + product_.y_stride, 1, 3);
    __builtin_prefetch(y + product_.y_stride + 16, 1, 3);
  }

  const Product& product_;
  const Part& part_;
  float* buffers_[2];
  size_t m_ = 0;
  size_t n_ = 0;
  size_t tile_ = 4;
};

// Sums of `gate` and `up` become tiles of what the next product reads: weight rows here are its k, so nothing is turned. A
// group's sums are taken during the next group's products of both weights: the function costs as much as half of a block's
// products over a piece of k. Zeros behind the rows and columns come out as zeros.
class GatedEnding {
 public:
  // `sums`: [gate, up][groups of weight rows][blocks of activation rows][4 tiles] of the part.
  GatedEnding(GateFunction function, const float* sums, const Part& part, Activations::Forms* out)
      : function_(function),
        sums_(sums),
        part_(part),
        tiles_(out->tiles.data()),
        k_tiles_(out->k_tiles),
        num_tiles_(PairsOf(part.m_end - part.m_begin) * 4),
        up_(PairsOf(part.n_end - part.n_begin) * num_tiles_ * AmxBlocks::kTileFloats),
        tile_(num_tiles_) {}

  float* TargetOf(float* sums) { return sums; }
  void Step(size_t /*m*/, size_t /*n*/, size_t tile, size_t k_tiles) {
    const size_t steps_of_tile = (k_tiles + 1) / 2;
    FetchLines(tile % steps_of_tile);
    if (tile % steps_of_tile == steps_of_tile - 1) Tile();
  }
  void BlockDone(size_t /*m*/, size_t /*n*/) {}
  void GroupDone(const AmxGroup& group) {
    if (group.which == 0) return;
    Finish();
    n_ = group.n;
    tile_ = 0;
  }
  void Finish() {
    while (tile_ < num_tiles_) Tile();
  }

 private:
  // Tiles of the group in the order of their sums: of a block of rows the four of it.
  const float* GateSums() const {
    const size_t group = (n_ - part_.n_begin) / AmxBlocks::kPairRows;
    return sums_ + (group * num_tiles_ + tile_) * AmxBlocks::kTileFloats;
  }
  uint16_t* Target() const {
    const size_t row = RowOfTile(part_.m_begin + tile_ / 4 * AmxBlocks::kPairRows, tile_ % 4);
    return tiles_ + (row / 16 * k_tiles_ + n_ / AmxBlocks::kPairRows) * AmxBlocks::kTileNumbers +
           tile_ % 2 * (AmxBlocks::kTileNumbers / 2);
  }
  // One tile. Further calls do nothing.
  void Tile() {
    if (tile_ == num_tiles_) return;
    // 16 numbers of one weight row and 16 of the next, one of each in turn.
    const __m512i pairs = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                           20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const float* const gate = GateSums();
    const float* const up = gate + up_;
    uint16_t* const out = Target();
    for (size_t i = 0; i < AmxBlocks::kTileFloats; i += 32) {
      const __m512 even = GateTimes(function_, _mm512_load_ps(gate + i), _mm512_load_ps(up + i));
      const __m512 odd = GateTimes(function_, _mm512_load_ps(gate + i + 16), _mm512_load_ps(up + i + 16));
      const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
      _mm512_store_si512(out + i, _mm512_permutexvar_epi16(pairs, both));
    }
    ++tile_;
  }
  // The eighth part `step` of what the next tile will touch.
  void FetchLines(size_t step) const {
    if (tile_ == num_tiles_ || step >= 8) return;
    const float* const gate = GateSums() + step * 32;
    __builtin_prefetch(gate, 0, 3);
    __builtin_prefetch(gate + 16, 0, 3);
    __builtin_prefetch(gate + up_, 0, 3);
    __builtin_prefetch(gate + up_ + 16, 0, 3);
    __builtin_prefetch(Target() + step * 32, 1, 3);
  }

  GateFunction function_;
  const float* sums_;
  const Part& part_;
  uint16_t* tiles_;  // B tiles [m / 16][k_tiles][16 pairs][16 rows][2]
  size_t k_tiles_;
  size_t num_tiles_;  // of a group
  size_t up_;         // from the gate's sums to those of up
  size_t n_ = 0;
  size_t tile_;  // of the group that waits
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

// A group times a part's activation rows, block by block. Where its piece of k is the last one, sums are finished, and `ending`
// takes them.
template <typename Tiles, typename Ending>
void MultiplyGroup(const Activations::Forms& x, const Part& part, const AmxGroup& group, const uint16_t* w, float* sums,
                   GroupStream* stream, Ending* ending) {
  const size_t x_next = x.k_tiles * AmxBlocks::kTileNumbers;
  const size_t k_tiles = TilesOf(group.piece.end - group.piece.begin);
  const size_t products = PairsOf(part.m_end - part.m_begin) * k_tiles;
  const bool last = group.piece.end == x.k;
  const size_t steps = stream->steps();
  size_t due = 0;
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kPairRows, sums += AmxBlocks::kBlockFloats) {
    const uint16_t* const rows = x.tiles.data() + (m / 16 * x.k_tiles + group.piece.begin / 32) * AmxBlocks::kTileNumbers;
    const float* const from = group.piece.begin == 0 ? nullptr : sums;
    const auto between = [&](size_t tile) __attribute__((always_inline)) {
      const float* const next = sums + AmxBlocks::kBlockFloats + tile * 64;
      for (size_t i = 0; i < 64; i += 16) __builtin_prefetch(next + i, 0, 3);
      for (due += steps; due >= products; due -= products) stream->Step();
    };
    if (!last) {
      MultiplyPairs<Tiles>(w, rows, x_next, k_tiles, from, sums, between);
      continue;
    }
    MultiplyPairs<Tiles>(
        w, rows, x_next, k_tiles, from, ending->TargetOf(sums), [&](size_t tile) __attribute__((always_inline)) {
          between(tile);
          ending->Step(m, group.n, tile, k_tiles);
        });
    ending->BlockDone(m, group.n);
  }
  if (last) ending->GroupDone(group);
}

// A part's rows [m_begin, m_end), at most kRowsAtOnce, m_begin a multiple of 32, times the `count` weights of `stream`.
template <typename Tiles, typename Ending>
void MultiplyRows(const Activations::Forms& x, const Part& part, size_t count, const AmxScratch& memory, GroupStream* stream,
                  Ending* ending) {
  const size_t block_sums = PairsOf(part.m_end - part.m_begin) * AmxBlocks::kBlockFloats;
  const size_t groups = PairsOf(part.n_end - part.n_begin);
  AmxGroup group{0, part.n_begin, PieceAt(0, x.k)};
  stream->Begin(group);
  while (group.piece.begin < x.k) {
    const uint16_t* const w = stream->Take();
    const AmxGroup next = NextGroup(group, count, part, x.k);
    if (next.piece.begin < x.k) stream->Begin(next);
    const size_t index = group.which * groups + (group.n - part.n_begin) / AmxBlocks::kPairRows;
    MultiplyGroup<Tiles>(x, part, group, w, memory.sums + index * block_sums, stream, ending);
    group = next;
  }
  ending->Finish();
}

// Calls rows(part) for a part's activation rows, kRowsAtOnce at a time.
template <typename Rows>
void ForRowsAtOnce(const Part& part, const Rows& rows) {
  for (size_t m = part.m_begin; m < part.m_end; m += AmxBlocks::kRowsAtOnce) {
    const size_t end = m + AmxBlocks::kRowsAtOnce < part.m_end ? m + AmxBlocks::kRowsAtOnce : part.m_end;
    rows(Part{part.n_begin, part.n_end, m, end});
  }
}

inline const uint16_t* KeptGroups(const Product& product, const Part& part) {
  return reinterpret_cast<const uint16_t*>(
      PackedPanel(product, part, AmxPanelBytes(product.w->k, kTilePanelRows), kTilePanelRows));
}

template <typename Tiles>
void MultiplyAmx(const Product& product, const Part& part, Scratch* scratch) {
  const WeightView& w = *product.w;
  AmxWeights weights{&w, KeptGroups(product, part)};
  // What would be unpacked more than once is kept for the call.
  const bool keep = weights.kept == nullptr && part.m_end - part.m_begin > AmxBlocks::kRowsAtOnce;
  const AmxScratch memory(keep ? AmxPanelBytes(w.k, part.n_end - part.n_begin) : 0, scratch);
  scratch->rows.Reserve(kPieceNumbers);
  Tiles::Configure(amx::FullTiles());
  ForRowsAtOnce(part, [&](const Part& rows) {
    uint16_t* const panel = keep && weights.kept == nullptr ? memory.panel : nullptr;
    GroupStream stream(&weights, part, memory.groups, scratch->rows.data(), panel);
    YEnding ending(product, rows, memory.ends);
    MultiplyRows<Tiles>(*product.x, rows, 1, memory, &stream, &ending);
    if (panel != nullptr) weights.kept = panel;
  });
  Tiles::Release();
}

// out = f(gate) * up as B tiles; part.n_end - part.n_begin is at most half of kTilePartRows.
template <typename Tiles>
void MultiplyGatedAmx(const Product& gate, const Product& up, const Part& part, Scratch* scratch, Activations::Forms* out) {
  const AmxWeights weights[2] = {{gate.w, KeptGroups(gate, part)}, {up.w, KeptGroups(up, part)}};
  const AmxScratch memory(0, scratch);
  scratch->rows.Reserve(kPieceNumbers);
  GroupStream stream(weights, part, memory.groups, scratch->rows.data());
  Tiles::Configure(amx::FullTiles());
  ForRowsAtOnce(part, [&](const Part& rows) {
    GatedEnding ending(up.gate, memory.sums, rows, out);
    MultiplyRows<Tiles>(*gate.x, rows, 2, memory, &stream, &ending);
  });
  Tiles::Release();
}

}  // namespace
}  // namespace damask::kernels
