// Scores of single rows with AMX tiles, a template over the tile backend (amx/tiles.h).
//
// Keys are the A operand as they lie in a bf16 page. A query is the sum of two bf16 numbers, what the first leaves being
// rounded to the second, and both are multiplied: 17 bits of it count, so the error is below 2^-17 |q| |k| scale (scores.h asks
// for 1e-5). Two quarters times two blocks of 16 rows at a time; sums come out as [key][row] and are turned while the next ones
// are multiplied. Against AVX-512, which transposes keys first and multiplies in float32: docs/engineering-notes.md.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/amx/tiles.h"
#include "kernels/page.h"
#include "kernels/scores_targets.h"
#include "kernels/transpose_avx512-inl.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

struct ScoreTiles {
  static constexpr size_t kNumbers = 512;  // bf16 numbers of an operand tile
  static constexpr size_t kFloats = 256;   // sums of a tile
  static constexpr size_t kStep = 32;      // dimensions of a tile
  static constexpr size_t kRows = 16;      // rows of a block
  static constexpr size_t kTerms = 2;
};

// Query rows as B tiles [blocks of 16 rows][dim / 32][term][16 pairs][16 rows][2]; zeros behind the rows.
void PackScoreQueries(const float* q, size_t q_stride, size_t rows, size_t dim, uint16_t* tiles) {
  const size_t block_numbers = dim / ScoreTiles::kStep * ScoreTiles::kTerms * ScoreTiles::kNumbers;
  for (size_t block = 0; block * ScoreTiles::kRows < rows; ++block, tiles += block_numbers) {
    for (size_t d = 0; d < dim; d += ScoreTiles::kStep) {
      __m512i high[16];
      __m512i low[16];
      for (size_t lane = 0; lane < ScoreTiles::kRows; ++lane) {
        high[lane] = low[lane] = _mm512_setzero_si512();
        const size_t row = block * ScoreTiles::kRows + lane;
        if (row >= rows) continue;
        const __m512 first = _mm512_loadu_ps(q + row * q_stride + d);
        const __m512 second = _mm512_loadu_ps(q + row * q_stride + d + 16);
        const auto rounded = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
        const __m512i widened_first = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(rounded)), 16);
        const __m512i widened_second = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(rounded, 1)), 16);
        high[lane] = rounded;
        low[lane] = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_sub_ps(second, _mm512_castsi512_ps(widened_second)),
                                                                  _mm512_sub_ps(first, _mm512_castsi512_ps(widened_first))));
      }
      uint16_t* const out = tiles + d / ScoreTiles::kStep * ScoreTiles::kTerms * ScoreTiles::kNumbers;
      Transpose16(high);
      Transpose16(low);
      for (size_t pair = 0; pair < 16; ++pair) {
        _mm512_store_si512(out + pair * 32, high[pair]);
        _mm512_store_si512(out + ScoreTiles::kNumbers + pair * 32, low[pair]);
      }
    }
  }
}

// sums [2 blocks of rows][2 quarters] tiles, each [16 keys][16 rows]: two quarters' keys, rows of `dim` numbers, times kBlocks
// blocks of query rows.
template <typename Tiles, size_t kBlocks>
inline void MultiplyQuarters(const std::byte* first, const std::byte* second, const uint16_t* queries, size_t dim,
                             float* sums) {
  constexpr size_t kPitch = 64;
  const size_t key_pitch = dim * sizeof(uint16_t);
  const size_t block_numbers = dim / ScoreTiles::kStep * ScoreTiles::kTerms * ScoreTiles::kNumbers;
  Tiles::template Zero<0>();
  Tiles::template Zero<1>();
  if constexpr (kBlocks == 2) {
    Tiles::template Zero<2>();
    Tiles::template Zero<3>();
  }
  for (size_t d = 0; d < dim; d += ScoreTiles::kStep) {
    Tiles::template Load<4>(first + d * sizeof(uint16_t), key_pitch);
    Tiles::template Load<5>(second + d * sizeof(uint16_t), key_pitch);
    for (size_t term = 0; term < ScoreTiles::kTerms; ++term, queries += ScoreTiles::kNumbers) {
      Tiles::template Load<6>(queries, kPitch);
      Tiles::template DotBf16<0, 4, 6>();
      Tiles::template DotBf16<1, 5, 6>();
      if constexpr (kBlocks == 2) {
        Tiles::template Load<7>(queries + block_numbers, kPitch);
        Tiles::template DotBf16<2, 4, 7>();
        Tiles::template DotBf16<3, 5, 7>();
      }
    }
  }
  Tiles::template Store<0>(sums, kPitch);
  Tiles::template Store<1>(sums + ScoreTiles::kFloats, kPitch);
  if constexpr (kBlocks == 2) {
    Tiles::template Store<2>(sums + 2 * ScoreTiles::kFloats, kPitch);
    Tiles::template Store<3>(sums + 3 * ScoreTiles::kFloats, kPitch);
  }
}

// One tile of sums on its way to the scores of `rows` rows.
inline void StoreScores(const float* sums, size_t rows, size_t keys, float scale, float* scores, size_t score_stride) {
  __m512i lanes[16];
  for (size_t i = 0; i < 16; ++i) lanes[i] = _mm512_load_si512(sums + i * 16);
  Transpose16(lanes);
  const auto there = static_cast<__mmask16>((1u << keys) - 1);
  const __m512 factor = _mm512_set1_ps(scale);
  for (size_t r = 0; r < 16 && r < rows; ++r) {
    _mm512_mask_storeu_ps(scores + r * score_stride, there, _mm512_mul_ps(_mm512_castsi512_ps(lanes[r]), factor));
  }
}

// Sums that were multiplied and not yet stored: of two quarters and two blocks of rows.
struct WaitingSums {
  const float* sums = nullptr;  // null: nothing waits
  size_t rows = 0;              // from the first block's first row on
  size_t keys[2] = {};          // of each quarter; 0: none
  float* scores = nullptr;      // of the first row and key

  void Store(float scale, size_t score_stride) {
    if (sums == nullptr) return;
    for (size_t block = 0; block < 2 && block * ScoreTiles::kRows < rows; ++block) {
      for (size_t quarter = 0; quarter < 2; ++quarter) {
        if (keys[quarter] == 0) continue;
        StoreScores(sums + (2 * block + quarter) * ScoreTiles::kFloats, rows - block * ScoreTiles::kRows, keys[quarter], scale,
                    scores + block * ScoreTiles::kRows * score_stride + quarter * kQuarterTokens, score_stride);
      }
    }
    sums = nullptr;
  }
};

// As Scores (scores.h), of a bf16 layout whose head_dim is a multiple of 32; but scores of released pages are left alone.
template <typename Tiles>
void ScoresByTiles(const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end, const float* q,
                   size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride, ScoresScratch* scratch) {
  const size_t dim = layout.head_dim;
  const size_t blocks = (rows + ScoreTiles::kRows - 1) / ScoreTiles::kRows;
  const size_t block_numbers = dim / ScoreTiles::kStep * ScoreTiles::kTerms * ScoreTiles::kNumbers;
  scratch->query_tiles.Reserve(blocks * block_numbers);
  uint16_t* const queries = scratch->query_tiles.data();
  PackScoreQueries(q, q_stride, rows, dim, queries);
  alignas(64) float buffers[2][4 * ScoreTiles::kFloats];
  size_t turn = 0;
  WaitingSums waiting;
  const auto keys_at = [&](uint64_t key) {
    const std::byte* const page = key < end ? pages[key / kPageTokens] : nullptr;
    return page == nullptr ? nullptr : page + key % kPageTokens * dim * sizeof(uint16_t);
  };
  const auto count_at = [&](uint64_t key) { return end - key < kQuarterTokens ? end - key : kQuarterTokens; };
  Tiles::Configure(amx::FullTiles());
  for (uint64_t key = first; key < end; key += 2 * kQuarterTokens) {
    const std::byte* const one = keys_at(key);
    const std::byte* const other = keys_at(key + kQuarterTokens);
    if (one == nullptr && other == nullptr) continue;
    for (size_t block = 0; block < blocks; block += 2, turn ^= 1) {
      float* const sums = buffers[turn];
      const uint16_t* const tiles = queries + block * block_numbers;
      const std::byte* const left = one != nullptr ? one : other;
      const std::byte* const right = other != nullptr ? other : one;
      if (block + 1 < blocks) {
        MultiplyQuarters<Tiles, 2>(left, right, tiles, dim, sums);
      } else {
        MultiplyQuarters<Tiles, 1>(left, right, tiles, dim, sums);
      }
      waiting.Store(scale, score_stride);
      waiting = {.sums = sums,
                 .rows = rows - block * ScoreTiles::kRows,
                 .keys = {one != nullptr ? count_at(key) : 0, other != nullptr ? count_at(key + kQuarterTokens) : 0},
                 .scores = scores + block * ScoreTiles::kRows * score_stride + (key - first)};
    }
  }
  waiting.Store(scale, score_stride);
  Tiles::Release();
}

// Runs of keys laid end to end are long rows of a page, kPageTokens / run of them. Of as many pages at a time as tiles hold, so
// that the queries, which may fill L2, are read less often. Tiles: sums 0 .. 2, runs 3 .. 5, queries 6 and 7 (both terms).
struct RunTiles {
  static constexpr size_t kPages = 3;
};

inline amx::TileConfig RunConfig(size_t runs) {
  amx::TileConfig config;
  for (size_t tile = 0; tile < 2 * RunTiles::kPages; ++tile) config.Set(tile, runs, amx::kTileBytes);
  for (size_t tile = 2 * RunTiles::kPages; tile < amx::kNumTiles; ++tile) config.Set(tile, amx::kTileRows, amx::kTileBytes);
  return config;
}

// sums [kPages][runs of a page][16 rows]: three pages' runs times a block of query rows.
template <typename Tiles>
inline void MultiplyRuns(const std::byte* const (&pages)[RunTiles::kPages], const uint16_t* queries, size_t run_numbers,
                         float* sums) {
  constexpr size_t kPitch = 64;
  const size_t run_pitch = run_numbers * sizeof(uint16_t);
  Tiles::template Zero<0>();
  Tiles::template Zero<1>();
  Tiles::template Zero<2>();
  for (size_t d = 0; d < run_numbers; d += ScoreTiles::kStep, queries += ScoreTiles::kTerms * ScoreTiles::kNumbers) {
    const size_t at = d * sizeof(uint16_t);
    Tiles::template Load<6>(queries, kPitch);
    Tiles::template Load<7>(queries + ScoreTiles::kNumbers, kPitch);
    Tiles::template Load<3>(pages[0] + at, run_pitch);
    Tiles::template DotBf16<0, 3, 6>();
    Tiles::template Load<4>(pages[1] + at, run_pitch);
    Tiles::template DotBf16<1, 4, 6>();
    Tiles::template Load<5>(pages[2] + at, run_pitch);
    Tiles::template DotBf16<2, 5, 6>();
    Tiles::template DotBf16<0, 3, 7>();
    Tiles::template DotBf16<1, 4, 7>();
    Tiles::template DotBf16<2, 5, 7>();
  }
  Tiles::template Store<0>(sums, kPitch);
  Tiles::template Store<1>(sums + ScoreTiles::kFloats, kPitch);
  Tiles::template Store<2>(sums + 2 * ScoreTiles::kFloats, kPitch);
}

// As RunScores (scores.h), of whole pages [first_page, end_page), in that order, and a bf16 layout whose head_dim is a multiple
// of 32; scores of released pages are left alone. `scores` is of run 0 of the first page.
template <typename Tiles>
void RunScoresByTiles(const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first_page,
                      uint64_t end_page, const float* q, size_t q_stride, size_t rows, float scale, float* scores,
                      size_t score_stride, ScoresScratch* scratch) {
  const size_t run_numbers = run * layout.head_dim;
  const size_t runs = kPageTokens / run;
  const size_t blocks = (rows + ScoreTiles::kRows - 1) / ScoreTiles::kRows;
  const size_t block_numbers = run_numbers / ScoreTiles::kStep * ScoreTiles::kTerms * ScoreTiles::kNumbers;
  scratch->query_tiles.Reserve(blocks * block_numbers);
  PackScoreQueries(q, q_stride, rows, run_numbers, scratch->query_tiles.data());
  alignas(64) float sums[RunTiles::kPages * ScoreTiles::kFloats] = {};
  Tiles::Configure(RunConfig(runs));
  for (uint64_t page = first_page; page < end_page;) {
    // The next pages that are there; in the place of missing ones stands the last that is.
    const std::byte* at[RunTiles::kPages];
    float* to[RunTiles::kPages];
    size_t count = 0;
    for (; page < end_page && count < RunTiles::kPages; ++page) {
      if (pages[page] == nullptr) continue;
      at[count] = pages[page];
      to[count++] = scores + (page - first_page) * runs;
    }
    if (count == 0) break;
    for (size_t i = count; i < RunTiles::kPages; ++i) at[i] = at[count - 1];
    for (size_t block = 0; block < blocks; ++block) {
      MultiplyRuns<Tiles>(at, scratch->query_tiles.data() + block * block_numbers, run_numbers, sums);
      const size_t first_row = block * ScoreTiles::kRows;
      for (size_t i = 0; i < count; ++i) {
        StoreScores(sums + i * ScoreTiles::kFloats, rows - first_row, runs, scale, to[i] + first_row * score_stride,
                    score_stride);
      }
    }
  }
  Tiles::Release();
}

}  // namespace
}  // namespace damask::kernels
