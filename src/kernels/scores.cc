// The plain body, and the choice by target.
#include "kernels/scores.h"

#include <limits>

#include "base/checked.h"
#include "kernels/scores-inl.h"
#include "kernels/scores_targets.h"

namespace damask::kernels {
namespace {

const ScoresBody& Choose(Target target) {
#if defined(__x86_64__)
  if (target >= Target::kAvx512) return Avx512Scores();
  if (target >= Target::kAvx2) return Avx2Scores();
#endif
  return ScalarScores();
}

constexpr float kHidden = -std::numeric_limits<float>::infinity();

#if defined(__x86_64__)
// Whether tiles can do it, and it is enough work for setting them up. A quarter of 16 rows always is: keys that are scored in
// pieces of quarters get the same bits whatever the pieces.
bool ForTiles(Target target, const PageLayout& layout, uint64_t keys, size_t rows) {
  constexpr uint64_t kLeastPairs = kQuarterTokens * 16;
  return target >= Target::kAmx && layout.type == KvType::kBf16 && layout.head_dim % 32 == 0 &&
         CeilDiv(keys, kQuarterTokens) * kQuarterTokens * rows >= kLeastPairs;
}

// Of scores [first, end), of which a page has `per_page`, those of released pages.
void HideReleased(const std::byte* const* pages, uint64_t per_page, uint64_t first, uint64_t end, size_t rows, float* scores,
                  size_t score_stride) {
  for (uint64_t i = first; i < end;) {
    const uint64_t page = i / per_page;
    const uint64_t page_end = std::min(end, (page + 1) * per_page);
    for (size_t r = 0; pages[page] == nullptr && r < rows; ++r) {
      std::fill_n(scores + r * score_stride + (i - first), page_end - i, kHidden);
    }
    i = page_end;
  }
}
#endif

}  // namespace

const ScoresBody& ScalarScores() { return kBody; }

void Scores(Target target, const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end,
            const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
            ScoresScratch* scratch) {
#if defined(__x86_64__)
  if (ForTiles(target, layout, end - std::min(first, end), rows)) {
    amx::TileScores(layout, pages, first, end, q, q_stride, rows, scale, scores, score_stride, scratch);
    return HideReleased(pages, kPageTokens, first, end, rows, scores, score_stride);
  }
#endif
  const ScoresBody& body = Choose(target);
  scratch->keys.resize((layout.head_dim + rows) * kQuarterTokens);
  float* keys = scratch->keys.data();
  float* tail = keys + layout.head_dim * kQuarterTokens;  // [rows][16]: a last quarter that only part of is wanted
  for (uint64_t key = first; key < end; key += kQuarterTokens) {
    const size_t count = std::min<uint64_t>(end - key, kQuarterTokens);
    float* out = scores + (key - first);
    const std::byte* page = pages[key / kPageTokens];
    if (page == nullptr) {
      for (size_t r = 0; r < rows; ++r) {
        std::fill_n(out + r * score_stride, count, kHidden);
      }
      continue;
    }
    body.transpose(layout, page, key % kPageTokens, keys);
    if (count == kQuarterTokens) {
      body.products(keys, layout.head_dim, q, q_stride, rows, scale, out, score_stride);
      continue;
    }
    body.products(keys, layout.head_dim, q, q_stride, rows, scale, tail, kQuarterTokens);
    for (size_t r = 0; r < rows; ++r) std::copy_n(tail + r * kQuarterTokens, count, out + r * score_stride);
  }
}

namespace {

// RunScores by vectors.
void RunScoresOf(const ScoresBody& body, const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first,
                 uint64_t end, const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
                 ScoresScratch* scratch) {
  scratch->keys.resize(run * layout.head_dim);
  for (uint64_t i = first; i * run < end; ++i) {
    const uint64_t key = i * run;
    const size_t count = std::min<uint64_t>(run, end - key);
    float* out = scores + (i - first);
    const std::byte* page = pages[key / kPageTokens];
    if (page == nullptr) {
      for (size_t r = 0; r < rows; ++r) out[r * score_stride] = kHidden;
      continue;
    }
    body.widen(layout, page, key % kPageTokens, count, scratch->keys.data());
    body.long_products(scratch->keys.data(), count * layout.head_dim, q, q_stride, rows, scale, out, score_stride);
  }
}

}  // namespace

void RunScores(Target target, const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first, uint64_t end,
               const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
               ScoresScratch* scratch) {
  const ScoresBody& body = Choose(target);
#if defined(__x86_64__)
  // Whole pages by tiles, what stands before and behind them by vectors.
  const uint64_t runs = kPageTokens / run;
  const uint64_t first_page = CeilDiv(first, runs);
  const uint64_t end_page = end / kPageTokens;
  if (run >= 4 && first_page < end_page && ForTiles(target, layout, (end_page - first_page) * kPageTokens, rows)) {
    const uint64_t begin = first_page * runs;
    const uint64_t behind = end_page * runs;
    amx::TileRunScores(layout, pages, run, first_page, end_page, q, q_stride, rows, scale, scores + (begin - first),
                       score_stride, scratch);
    HideReleased(pages, runs, begin, behind, rows, scores + (begin - first), score_stride);
    RunScoresOf(body, layout, pages, run, first, begin * run, q, q_stride, rows, scale, scores, score_stride, scratch);
    return RunScoresOf(body, layout, pages, run, behind, end, q, q_stride, rows, scale, scores + (behind - first), score_stride,
                       scratch);
  }
#endif
  RunScoresOf(body, layout, pages, run, first, end, q, q_stride, rows, scale, scores, score_stride, scratch);
}

double Softmax(Target target, float* scores, size_t n) { return Choose(target).softmax(scores, n); }

void ColumnShares(Target target, float* scores, size_t columns, size_t lanes, size_t rows, float* best) {
  Choose(target).column_shares(scores, columns, lanes, rows, best);
}

void WeightedValues(Target target, const PageLayout& layout, const std::byte* const* pages, const float* probabilities,
                    size_t probability_stride, size_t rows, size_t n, float* out, ScoresScratch* scratch) {
  const ScoresBody& body = Choose(target);
  scratch->sums.assign(rows * layout.head_dim * kQuarterTokens, 0.0f);
  for (size_t key = 0; key < n; key += kPageTokens) {
    const std::byte* page = pages[key / kPageTokens];
    if (page == nullptr) continue;
    body.add_values(layout, page, probabilities + key, probability_stride, rows, std::min(kPageTokens, n - key),
                    scratch->sums.data());
  }
  body.sum_lanes(scratch->sums.data(), rows * layout.head_dim, out);
}

void RowProducts(Target target, const float* x, size_t n, const float* rows, size_t stride, size_t count, float scale,
                 float* out) {
  Choose(target).long_products(x, n, rows, stride, count, scale, out, 1);
}

void QuarterProducts(Target target, const float* keys, size_t dim, const float* q, size_t q_stride, size_t rows, float scale,
                     float* out, size_t out_stride) {
  Choose(target).products(keys, dim, q, q_stride, rows, scale, out, out_stride);
}

}  // namespace damask::kernels
