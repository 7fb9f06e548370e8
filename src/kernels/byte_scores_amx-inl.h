// Byte scores with AMX tiles, a template over the tile backend (amx/tiles.h).
//
// Keys of a quarter are the A operand, 16 rows of `dim` bytes; the query rows, 16 to a tile, are B operands and stay in their
// tiles from one quarter to the next. Sums come out as [key][row], so that maxima run down columns; those of a quarter are
// taken while the next one's are multiplied.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned.h"
#include "kernels/amx/tiles.h"
#include "kernels/byte_scores_targets.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

struct ByteTiles {
  static constexpr size_t kLanes = 16;  // rows of a tile of queries
  static constexpr size_t kTiles = 4;   // of queries at a time
  static constexpr size_t kSums = 256;  // of a tile
};

// Tile 0: keys; 1 .. 4: queries, `lanes` rows each; 5 .. 7: sums, used in turn.
inline amx::TileConfig ByteConfig(size_t dim, size_t lanes) {
  amx::TileConfig config;
  config.Set(0, kQuarterTokens, dim);
  for (size_t tile = 1; tile <= ByteTiles::kTiles; ++tile) config.Set(tile, dim / 4, lanes * 4);
  for (size_t tile = 5; tile < amx::kNumTiles; ++tile) config.Set(tile, kQuarterTokens, lanes * 4);
  return config;
}

template <typename Tiles, int kTile, int kSums>
[[gnu::always_inline]] inline void MultiplyByteTile(int32_t* sums, size_t pitch) {
  Tiles::template Zero<kSums>();
  Tiles::template DotBytes<kSums, 0, kTile>();
  Tiles::template Store<kSums>(sums, pitch);
}

// The keys of a quarter times kTiles tiles of queries: sums [tile][16 keys][row].
template <typename Tiles, size_t kTiles>
[[gnu::always_inline]] inline void MultiplyByteQuarter(const int8_t* keys, size_t dim, int32_t* sums, size_t pitch) {
  Tiles::template Load<0>(keys, dim);
  MultiplyByteTile<Tiles, 1, 5>(sums, pitch);
  if constexpr (kTiles > 1) MultiplyByteTile<Tiles, 2, 6>(sums + ByteTiles::kSums, pitch);
  if constexpr (kTiles > 2) MultiplyByteTile<Tiles, 3, 7>(sums + 2 * ByteTiles::kSums, pitch);
  if constexpr (kTiles > 3) MultiplyByteTile<Tiles, 4, 5>(sums + 3 * ByteTiles::kSums, pitch);
}

template <typename Tiles, size_t kTiles>
[[gnu::always_inline]] inline void LoadByteQueries(const int8_t* queries, size_t tile_bytes, size_t pitch) {
  Tiles::template Load<1>(queries, pitch);
  if constexpr (kTiles > 1) Tiles::template Load<2>(queries + tile_bytes, pitch);
  if constexpr (kTiles > 2) Tiles::template Load<3>(queries + 2 * tile_bytes, pitch);
  if constexpr (kTiles > 3) Tiles::template Load<4>(queries + 3 * tile_bytes, pitch);
}

template <size_t kTiles>
inline void StoreMaxima(const int32_t* sums, float quarter_scale, const float* scales, float* largest) {
  for (size_t tile = 0; tile < kTiles; ++tile, sums += ByteTiles::kSums) {
    __m512i best[4];
    for (size_t i = 0; i < 4; ++i) best[i] = _mm512_load_si512(sums + i * 16);
    for (size_t key = 4; key < kQuarterTokens; ++key) {
      best[key % 4] = _mm512_max_epi32(best[key % 4], _mm512_load_si512(sums + key * 16));
    }
    best[0] = _mm512_max_epi32(_mm512_max_epi32(best[0], best[1]), _mm512_max_epi32(best[2], best[3]));
    const __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(scales + tile * 16), _mm512_set1_ps(quarter_scale));
    _mm512_storeu_ps(largest + tile * 16, _mm512_mul_ps(_mm512_cvtepi32_ps(best[0]), scale));
  }
}

// Where keys lie follows from what was chosen: hardware does not see which come next.
[[gnu::always_inline]] inline void FetchQuarter(std::span<const ByteQuarter> quarters, size_t i, size_t dim) {
  constexpr size_t kAhead = 4;
  if (i + kAhead >= quarters.size()) return;
  const int8_t* const bytes = quarters[i + kAhead].bytes;
  for (size_t at = 0; at < dim * kQuarterTokens; at += kCacheLine) _mm_prefetch(bytes + at, _MM_HINT_T0);
}

// Lanes [lane, lane + 16 * kTiles) of all quarters.
template <typename Tiles, size_t kTiles>
void MaximaOfTiles(std::span<const ByteQuarter> quarters, const ByteQueries& queries, size_t lane, float* largest) {
  constexpr size_t kPitch = 64;
  const size_t dim = queries.dim();
  alignas(64) int32_t buffers[2][kTiles * ByteTiles::kSums];
  const auto store = [&](size_t i) {
    StoreMaxima<kTiles>(buffers[i % 2], quarters[i].scale, queries.scales() + lane, largest + i * queries.lanes() + lane);
  };
  LoadByteQueries<Tiles, kTiles>(queries.signed_bytes() + lane * dim, ByteTiles::kLanes * dim, kPitch);
  for (size_t i = 0; i < quarters.size(); ++i) {
    FetchQuarter(quarters, i, dim);
    MultiplyByteQuarter<Tiles, kTiles>(quarters[i].bytes, dim, buffers[i % 2], kPitch);
    if (i > 0) store(i - 1);
  }
  if (!quarters.empty()) store(quarters.size() - 1);
}

// A single row: sums are a column of 16 numbers.
template <typename Tiles>
void MaximaOfOneRow(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest) {
  constexpr size_t kPitch = 4;
  alignas(64) int32_t sums[2][kQuarterTokens];
  const auto store = [&](size_t i) {
    const int32_t best = _mm512_reduce_max_epi32(_mm512_load_si512(sums[i % 2]));
    largest[i] = static_cast<float>(best) * (*queries.scales() * quarters[i].scale);
  };
  Tiles::template Load<1>(queries.signed_bytes(), kPitch);
  for (size_t i = 0; i < quarters.size(); ++i) {
    FetchQuarter(quarters, i, queries.dim());
    Tiles::template Load<0>(quarters[i].bytes, queries.dim());
    MultiplyByteTile<Tiles, 1, 5>(sums[i % 2], kPitch);
    if (i > 0) store(i - 1);
  }
  if (!quarters.empty()) store(quarters.size() - 1);
}

template <typename Tiles>
void MaximaByTiles(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest) {
  const bool one_row = queries.lanes() == 1;
  Tiles::Configure(ByteConfig(queries.dim(), one_row ? 1 : ByteTiles::kLanes));
  if (one_row) {
    MaximaOfOneRow<Tiles>(quarters, queries, largest);
  } else {
    constexpr size_t kMany = ByteTiles::kTiles * ByteTiles::kLanes;
    size_t lane = 0;
    for (; lane + kMany <= queries.lanes(); lane += kMany) {
      MaximaOfTiles<Tiles, ByteTiles::kTiles>(quarters, queries, lane, largest);
    }
    if (lane + 2 * ByteTiles::kLanes <= queries.lanes()) {
      MaximaOfTiles<Tiles, 2>(quarters, queries, lane, largest);
      lane += 2 * ByteTiles::kLanes;
    }
    if (lane < queries.lanes()) MaximaOfTiles<Tiles, 1>(quarters, queries, lane, largest);
  }
  Tiles::Release();
}

}  // namespace
}  // namespace damask::kernels
