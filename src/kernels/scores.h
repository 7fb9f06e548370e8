// Dense attention of single rows, laid open: scores, probabilities and outputs as numbers to look at. For what measures
// attention instead of computing it fast: the capture of a calibration, the audit, policies that look at keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/page.h"

namespace damask::kernels {

// Memory that one thread keeps between calls.
struct ScoresScratch {
  std::vector<float> keys;
  std::vector<float> sums;
  AlignedArray<uint16_t> query_tiles;
};

// scores[row][key - first] = scale * (q[row] . k[key]) for keys [first, end) and `rows` queries [rows, head_dim], q_stride
// floats apart; rows of scores are score_stride floats apart. `first` is a multiple of kQuarterTokens. Keys of released pages
// (null) get -infinity. Error against double below 1e-5 of |q| |k| scale: float32 throughout, or with AMX tiles each query as a
// sum of two bf16 numbers. Cost: 2 * head_dim flops a pair, and for every 16 keys about what 16 rows cost, so many rows at once
// are cheap.
void Scores(Target target, const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end,
            const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
            ScoresScratch* scratch);

// Turns the scores [n] of one row into probabilities, in place; returns their log-sum-exp. Relative error of exp below 1e-6.
// A row of -infinity only becomes zeros, and gives -infinity.
double Softmax(Target target, float* scores, size_t n);

// The same for many rows side by side: scores [columns][lanes], of which the first `rows` lanes are rows, the others come out
// as zeros. `lanes` is a multiple of kQuarterTokens, and every row has a score above -infinity. best[c] = the largest share
// that column c has in any row. Sums are in float32: error below 1e-7 times the number of columns.
void ColumnShares(Target target, float* scores, size_t columns, size_t lanes, size_t rows, float* best);

// out [rows, head_dim]: out[row] = sum of probabilities[row][key] * v[key] over keys [0, n); rows of probabilities are
// probability_stride floats apart. Values are read once for four rows.
void WeightedValues(Target target, const PageLayout& layout, const std::byte* const* pages, const float* probabilities,
                    size_t probability_stride, size_t rows, size_t n, float* out, ScoresScratch* scratch);

// Scores of whole runs of keys (XAttention): scores[row][i - first] = scale * (q[row] . the keys [i run, i run + run) laid end
// to end), for runs i in [first, end / run], the last one cut at `end`. q is [rows, run * head_dim], q_stride floats apart;
// `run` divides kPageTokens. Runs of released pages get -infinity. Cost: 2 * head_dim flops a row and key.
void RunScores(Target target, const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first, uint64_t end,
               const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
               ScoresScratch* scratch);

// out[row] = scale * (rows[row] . x) over n numbers, a multiple of kQuarterTokens, of `count` rows that lie `stride` floats
// apart.
void RowProducts(Target target, const float* x, size_t n, const float* rows, size_t stride, size_t count, float scale,
                 float* out);

// The raw step of Scores: out[row][j] = scale * sum over d of q[row][d] * keys[d][j] for j < kQuarterTokens. keys
// [dim][kQuarterTokens]: 16 vectors of any dim, transposed.
void QuarterProducts(Target target, const float* keys, size_t dim, const float* q, size_t q_stride, size_t rows, float scale,
                     float* out, size_t out_stride);

}  // namespace damask::kernels
