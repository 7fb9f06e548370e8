// Sums of attention probabilities over some rows: what each key gets (verticals) and what each distance gets (slashes).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/cpu.h"
#include "kernels/scores.h"
#include "policies/policy.h"

namespace damask::policies {

// Of one query head. Keys are [first, first + verticals.size()); a slash is the distance from the query to the key.
struct ColumnSums {
  uint64_t first = 0;            // a multiple of kernels::kQuarterTokens
  std::vector<float> verticals;  // [key - first]
  std::vector<float> slashes;    // [distance]
};

// Memory that one thread keeps.
struct ColumnScratch {
  std::vector<float> rows;  // queries [head][row][head_dim] of some heads
  std::vector<float> scores;
  kernels::ScoresScratch keys;
};

// Dense causal attention of `rows` (indices into queries, ascending) within the model's own window (0: none), added up for each
// of the `group` heads that share the keys. Keys of released pages get nothing. Cost: 2 head_dim flops a head, row and key.
void SumColumns(Target target, const QueryRows& queries, std::span<const uint32_t> rows, size_t group, const KeyPages& keys,
                uint32_t own_window, ColumnScratch* scratch, std::vector<ColumnSums>* sums);

}  // namespace damask::policies
