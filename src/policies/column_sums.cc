#include "policies/column_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "policies/sample_rows.h"

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;

// Scores of that many bytes are held at a time, or of one head: the more heads at once, the less each key costs.
constexpr size_t kScoresBytes = size_t{8} << 20;

// Rows of a query block and the keys that they may see.
struct Region {
  const QueryRows& queries;
  std::span<const uint32_t> rows;
  uint32_t own_window;
  uint64_t first;  // key
  size_t count;    // of keys

  Region(const QueryRows& query_rows, std::span<const uint32_t> chosen, uint32_t window)
      : queries(query_rows),
        rows(chosen),
        own_window(window),
        first(LowestKeyOf(chosen.front()) / kQuarterTokens * kQuarterTokens),
        count(queries.first_position + chosen.back() + 1 - first) {}
  uint64_t LowestKeyOf(uint32_t row) const { return kernels::LowestKey(queries.first_position + row, own_window); }
};

// scratch->scores [head][row][key - first] of heads [head, head + heads).
void ScoreHeads(Target target, const Region& region, size_t head, size_t heads, const KeyPages& keys, ColumnScratch* scratch) {
  const size_t dim = keys.layout->head_dim;
  const size_t rows = heads * region.rows.size();
  scratch->rows.resize(rows * dim);
  scratch->scores.resize(rows * region.count);
  float* to = scratch->rows.data();
  for (size_t h = head; h < head + heads; ++h) to = CopyRows(region.queries, region.rows, h, dim, to);
  kernels::Scores(target, *keys.layout, keys.pages, region.first, region.first + region.count, scratch->rows.data(), dim, rows,
                  1.0f / std::sqrt(static_cast<float>(dim)), scratch->scores.data(), region.count, &scratch->keys);
}

// Turns a head's scores [row][key - first] into probabilities and adds them up.
void AddHead(Target target, const Region& region, float* scores, ColumnSums* sums) {
  sums->first = region.first;
  sums->verticals.assign(region.count, 0.0f);
  sums->slashes.assign(region.count, 0.0f);
  for (const uint32_t row : region.rows) {
    const uint64_t lowest = std::max(region.LowestKeyOf(row), region.first);
    std::fill_n(scores, lowest - region.first, -std::numeric_limits<float>::infinity());
    const size_t seen = region.queries.first_position + row + 1 - region.first;
    kernels::Softmax(target, scores, seen);
    for (size_t key = 0; key < seen; ++key) sums->verticals[key] += scores[key];
    for (size_t distance = 0; distance < seen; ++distance) sums->slashes[distance] += scores[seen - 1 - distance];
    scores += region.count;
  }
}

}  // namespace

void SumColumns(Target target, const QueryRows& queries, std::span<const uint32_t> rows, size_t group, const KeyPages& keys,
                uint32_t own_window, ColumnScratch* scratch, std::vector<ColumnSums>* sums) {
  const Region region(queries, rows, own_window);
  const size_t head_scores = rows.size() * region.count;
  const size_t together = std::clamp<size_t>(kScoresBytes / (head_scores * sizeof(float)), 1, group);
  sums->resize(group);
  for (size_t head = 0; head < group; head += together) {
    const size_t heads = std::min(together, group - head);
    ScoreHeads(target, region, head, heads, keys, scratch);
    for (size_t h = 0; h < heads; ++h) AddHead(target, region, scratch->scores.data() + h * head_scores, &(*sums)[head + h]);
  }
}

}  // namespace damask::policies
