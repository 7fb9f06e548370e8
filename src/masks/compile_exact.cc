#include "masks/compile_exact.h"

#include <algorithm>

#include "masks/quarters.h"

namespace damask::masks {

using kernels::kPageTokens;
using kernels::kQuarterTokens;

static_assert(kernels::kQueryBlockRows == 64, "the rows of a key are the bits of one word");

ExactCompiler::ExactCompiler(const std::vector<GroupMask::Head>& heads, const QueryRows& rows, kernels::Plan* plan)
    : heads_(heads), rows_(rows), first_(rows.first_position), end_(rows.first_position + rows.rows), plan_(plan) {}

// The rows at positions [begin, end).
uint64_t ExactCompiler::RowBits(uint64_t begin, uint64_t end) const {
  begin = std::max(begin, first_);
  end = std::min(end, end_);
  if (begin >= end) return 0;
  const uint64_t count = end - begin;
  const uint64_t ones = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  return ones << (begin - first_);
}

// Rows that see the key at all: not before it, not after it left the model's own window.
uint64_t ExactCompiler::VisibleRows(uint64_t key) const { return RowBits(key, rows_.window == 0 ? end_ : key + rows_.window); }

// Rows that a head's sinks, diagonals and verticals give the key.
uint64_t ExactCompiler::PatternRows(const GroupMask::Head& head, uint64_t key) const {
  if (head.full || key < head.sinks) return RowBits(key, end_);
  uint64_t rows = RowBits(key, key + 1);
  auto band = std::partition_point(head.bands.begin(), head.bands.end(),
                                   [&](const DiagonalInterval& interval) { return key + interval.end <= first_; });
  for (; band != head.bands.end() && key + band->begin < end_; ++band) {
    rows |= RowBits(std::max<uint64_t>(key + band->begin, head.corner), key + band->end);
  }
  if (std::binary_search(head.verticals.begin(), head.verticals.end(), key)) {
    rows |= RowBits(std::max<uint64_t>(key, head.corner), end_);
  }
  return rows;
}

void ExactCompiler::AddCorner(const GroupMask::Head& head, uint64_t block, KeyRows* rows_of_key) const {
  const uint64_t block_begin = block * kPageTokens;
  for (uint64_t row = first_; row < std::min<uint64_t>(end_, head.corner); ++row) {
    for (const KeyRange& run : head.mask->true_mask.row(row)) {
      const uint64_t end = std::min<uint64_t>(run.end, block_begin + kPageTokens);
      for (uint64_t key = std::max<uint64_t>(run.begin, block_begin); key < end; ++key) {
        (*rows_of_key)[key - block_begin] |= RowBits(row, row + 1);
      }
    }
  }
}

ExactCompiler::KeyRows ExactCompiler::FindPairs(const GroupMask::Head& head, uint64_t block, uint8_t quarters) const {
  KeyRows rows_of_key = {};
  for (size_t slot = 0; slot < kPageTokens; ++slot) {
    if ((quarters >> (slot / kQuarterTokens) & 1) != 0) rows_of_key[slot] = PatternRows(head, block * kPageTokens + slot);
  }
  if (!head.full) AddCorner(head, block, &rows_of_key);
  for (size_t slot = 0; slot < kPageTokens; ++slot) rows_of_key[slot] &= VisibleRows(block * kPageTokens + slot);
  return rows_of_key;
}

void ExactCompiler::AddEntry(uint64_t block, const KeyRows& rows_of_key, uint32_t heads) {
  kernels::PlanEntry entry = kernels::BlockEntry(block, first_, end_ - 1, rows_.window);
  entry.heads = heads;
  entry.quarters = 0;
  for (size_t slot = 0; slot < kPageTokens; ++slot) {
    if (rows_of_key[slot] != 0) entry.quarters = static_cast<uint8_t>(entry.quarters | 1u << (slot / kQuarterTokens));
  }
  if (entry.quarters == 0) return;
  bool plain = true;
  for (size_t slot = 0; slot < kPageTokens; ++slot) {
    const bool planned = (entry.quarters >> (slot / kQuarterTokens) & 1) != 0;
    plain = plain && (!planned || rows_of_key[slot] == VisibleRows(block * kPageTokens + slot));
  }
  if (!plain) {
    entry.exact = static_cast<uint32_t>(plan_->exact_masks.size());
    plan_->exact_masks.push_back({rows_of_key});
  }
  plan_->entries.push_back(entry);
}

void ExactCompiler::AddBlock(uint64_t block, const uint8_t* quarters) {
  std::array<KeyRows, kernels::kMaxGroup> pairs;
  std::array<uint32_t, kernels::kMaxGroup> sharing;  // heads with the pairs of this one
  for (size_t h = 0; h < heads_.size(); ++h) {
    sharing[h] = 0;
    if (quarters[h] == 0) continue;
    pairs[h] = FindPairs(heads_[h], block, quarters[h]);
    size_t same = 0;
    while (same < h && (sharing[same] == 0 || pairs[same] != pairs[h])) ++same;
    sharing[same] |= 1u << h;
  }
  for (size_t h = 0; h < heads_.size(); ++h) {
    if (sharing[h] != 0) AddEntry(block, pairs[h], sharing[h]);
  }
}

void ExactCompiler::AddBlocks(CompileScratch* scratch) {
  ForEachBlock(scratch->ranges, 0, end_ - 1, &scratch->cursors,
               [&](uint64_t block, const uint8_t* quarters) { AddBlock(block, quarters); });
}

}  // namespace damask::masks
