// Scores of byte vectors with AMX tiles, a template over the tile backend (amx/tiles.h).
//
// The rows, 16 to a tile, are A operands and stay in their tiles from one group to the next; a group is the B operand. Sums
// come out as [row][vector]; those of a group are used while the next one's are multiplied.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/amx/tiles.h"
#include "kernels/byte_vectors_targets.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

constexpr size_t kRowTiles = 4;    // of rows at a time
constexpr size_t kTileSums = 256;  // of a tile
constexpr size_t kSumsPitch = 64;  // bytes

// Tile 0: the group; 1 .. 4: rows; 5 .. 7: sums, used in turn.
inline amx::TileConfig VectorConfig(size_t dim) {
  amx::TileConfig config;
  config.Set(0, dim / 4, kByteGroup * 4);
  for (size_t tile = 1; tile <= kRowTiles; ++tile) config.Set(tile, amx::kTileRows, dim);
  for (size_t tile = 5; tile < amx::kNumTiles; ++tile) config.Set(tile, amx::kTileRows, kByteGroup * 4);
  return config;
}

template <typename Tiles, int kTile, int kSums>
[[gnu::always_inline]] inline void MultiplyRowTile(int32_t* sums) {
  Tiles::template Zero<kSums>();
  Tiles::template DotBytes<kSums, kTile, 0>();
  Tiles::template Store<kSums>(sums, kSumsPitch);
}

// The first `tiles` of the four.
template <typename Tiles>
[[gnu::always_inline]] inline void MultiplyGroup(const int8_t* group, size_t tiles, int32_t* sums) {
  Tiles::template Load<0>(group, kByteGroup * 4);
  MultiplyRowTile<Tiles, 1, 5>(sums);
  if (tiles > 1) MultiplyRowTile<Tiles, 2, 6>(sums + kTileSums);
  if (tiles > 2) MultiplyRowTile<Tiles, 3, 7>(sums + 2 * kTileSums);
  if (tiles > 3) MultiplyRowTile<Tiles, 4, 5>(sums + 3 * kTileSums);
}

template <typename Tiles>
inline void LoadRows(const int8_t* rows, size_t dim, size_t tiles) {
  const size_t tile_bytes = amx::kTileRows * dim;
  Tiles::template Load<1>(rows, dim);
  if (tiles > 1) Tiles::template Load<2>(rows + tile_bytes, dim);
  if (tiles > 2) Tiles::template Load<3>(rows + 2 * tile_bytes, dim);
  if (tiles > 3) Tiles::template Load<4>(rows + 3 * tile_bytes, dim);
}

// use(first row, rows, group's place, its scales [16], sums [rows][16]) for all groups and up to 64 rows at a time.
template <typename Tiles, typename Use>
[[gnu::always_inline]] inline void ForSums(const ByteGroups& groups, const ByteQueries& rows, const Use& use) {
  constexpr size_t kRows = kRowTiles * amx::kTileRows;
  const size_t dim = rows.dim();
  alignas(64) int32_t sums[2][kRowTiles * kTileSums];
  Tiles::Configure(VectorConfig(dim));
  for (size_t first = 0; first < rows.rows(); first += kRows) {
    const size_t left = rows.rows() - first;
    const size_t count = left < kRows ? left : kRows;
    const size_t tiles = (count + amx::kTileRows - 1) / amx::kTileRows;
    LoadRows<Tiles>(rows.signed_bytes() + first * dim, dim, tiles);
    for (size_t i = 0; i <= groups.count; ++i) {
      if (i < groups.count) MultiplyGroup<Tiles>(groups.bytes + i * groups.step * dim * kByteGroup, tiles, sums[i % 2]);
      if (i > 0) use(first, count, i - 1, groups.scales + (i - 1) * groups.step * kByteGroup, sums[(i - 1) % 2]);
    }
  }
  Tiles::Release();
}

[[gnu::always_inline]] inline __m512 Floats(const int32_t* sums) { return _mm512_cvtepi32_ps(_mm512_load_si512(sums)); }

template <typename Tiles>
void ScoresOfVectors(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  ForSums<Tiles>(
      groups, rows,
      [&](size_t first, size_t count, size_t group, const float* group_scales, const int32_t* sums)
          __attribute__((always_inline)) {
            const __m512 scales = _mm512_loadu_ps(group_scales);
            for (size_t r = 0; r < count; ++r) {
              _mm512_storeu_ps(scores + (first + r) * stride + group * kByteGroup,
                               _mm512_mul_ps(Floats(sums + r * kByteGroup),
                                             _mm512_mul_ps(_mm512_set1_ps(rows.scales()[first + r]), scales)));
            }
          });
}

// The largest of `before` and the scores of `rows` rows, each less the row's bound.
[[gnu::always_inline]] inline __m512 LargestAbove(const int32_t* sums, size_t rows, const float* row_scales,
                                                  const float* bounds, __m512 scales, __m512 before) {
  const auto above = [&](size_t r) __attribute__((always_inline)) {
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scales[r]), scales);
    return _mm512_fmsub_ps(Floats(sums + r * kByteGroup), scale, _mm512_set1_ps(bounds[r]));
  };
  // Four side by side, as a single maximum would wait for itself.
  __m512 largest[4] = {before, before, before, before};
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) largest[i] = _mm512_max_ps(largest[i], above(r + i));
  }
  for (; r < rows; ++r) largest[0] = _mm512_max_ps(largest[0], above(r));
  return _mm512_max_ps(_mm512_max_ps(largest[0], largest[1]), _mm512_max_ps(largest[2], largest[3]));
}

template <typename Tiles>
void BestOfVectors(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  for (size_t i = 0; i < groups.count; ++i) {
    _mm512_storeu_ps(best + i * kByteGroup, _mm512_set1_ps(-std::numeric_limits<float>::infinity()));
  }
  ForSums<Tiles>(
      groups, rows,
      [&](size_t first, size_t count, size_t group, const float* group_scales, const int32_t* sums)
          __attribute__((always_inline)) {
            float* const out = best + group * kByteGroup;
            _mm512_storeu_ps(out, LargestAbove(sums, count, rows.scales() + first, bounds + first,
                                               _mm512_loadu_ps(group_scales), _mm512_loadu_ps(out)));
          });
}

}  // namespace
}  // namespace damask::kernels
