#include "policies/column_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace damask::policies {

using kernels::kQuarterTokens;

void ColumnSums::Add(Target target, const QueryRows& queries, std::span<const uint32_t> rows, size_t head, const KeyPages& keys,
                     uint32_t own_window, Scratch* scratch) {
  const size_t dim = keys.layout->head_dim;
  const uint64_t last = queries.first_position + rows.back();
  const auto lowest = [own_window](uint64_t position) { return kernels::LowestKey(position, own_window); };
  first = lowest(queries.first_position + rows.front()) / kQuarterTokens * kQuarterTokens;
  const size_t count = last + 1 - first;
  verticals.assign(count, 0.0f);
  slashes.assign(count, 0.0f);
  scratch->rows.resize(rows.size() * dim);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(queries.row(rows[i], head, dim), dim, scratch->rows.data() + i * dim);
  }
  scratch->scores.resize(rows.size() * count);
  kernels::Scores(target, *keys.layout, keys.pages, first, last + 1, scratch->rows.data(), dim, rows.size(),
                  1.0f / std::sqrt(static_cast<float>(dim)), scratch->scores.data(), count, &scratch->keys);
  for (size_t i = 0; i < rows.size(); ++i) {
    const uint64_t position = queries.first_position + rows[i];
    float* row = scratch->scores.data() + i * count;
    std::fill_n(row, std::max(lowest(position), first) - first, -std::numeric_limits<float>::infinity());
    const size_t seen = position + 1 - first;
    kernels::Softmax(target, row, seen);
    for (size_t key = 0; key < seen; ++key) {
      verticals[key] += row[key];
      slashes[seen - 1 - key] += row[key];
    }
  }
}

}  // namespace damask::policies
