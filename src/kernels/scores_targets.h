// The bodies of each instruction set, behind scores.h.
#pragma once

#include "kernels/scores.h"

namespace damask::kernels {

struct ScoresBody {
  // keys [head_dim][kQuarterTokens]: a quarter's keys, transposed.
  void (*transpose)(const PageLayout& layout, const std::byte* page, size_t slot, float* keys);
  // out[row][0..15] = scale * q[row] . keys.
  void (*products)(const float* keys, size_t head_dim, const float* q, size_t q_stride, size_t rows, float scale, float* out,
                   size_t out_stride);
  // keys [count * head_dim]: the keys of `count` slots, end to end.
  void (*widen)(const PageLayout& layout, const std::byte* page, size_t slot, size_t count, float* keys);
  // out[row * out_stride] = scale * (q[row] . keys) over n numbers, a multiple of 16.
  void (*long_products)(const float* keys, size_t n, const float* q, size_t q_stride, size_t rows, float scale, float* out,
                        size_t out_stride);
  double (*softmax)(float* scores, size_t n);
  void (*column_shares)(float* scores, size_t columns, size_t lanes, size_t rows, float* best);
  // sums [rows][head_dim][16] += the values of `count` slots of one page from slot 0 on, weighted, in 16 lanes each.
  void (*add_values)(const PageLayout& layout, const std::byte* page, const float* probabilities, size_t probability_stride,
                     size_t rows, size_t count, float* sums);
  // out [n] = the sums of sums [n][16].
  void (*sum_lanes)(const float* sums, size_t n, float* out);
};

const ScoresBody& ScalarScores();
const ScoresBody& Avx2Scores();
const ScoresBody& Avx512Scores();

namespace amx {
// As Scores, of bf16 pages whose head_dim is a multiple of 32; but scores of released pages are left alone.
void TileScores(const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end, const float* q,
                size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride, ScoresScratch* scratch);
void TileScoresEmulated(const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end, const float* q,
                        size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
                        ScoresScratch* scratch);  // the same without the hardware
// As RunScores, of whole pages and a layout as above, runs of 4 keys at least; `scores` is of run 0 of the first page.
void TileRunScores(const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first_page, uint64_t end_page,
                   const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
                   ScoresScratch* scratch);
void TileRunScoresEmulated(const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first_page,
                           uint64_t end_page, const float* q, size_t q_stride, size_t rows, float scale, float* scores,
                           size_t score_stride, ScoresScratch* scratch);
}  // namespace amx

}  // namespace damask::kernels
