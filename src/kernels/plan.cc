#include "kernels/plan.h"

#include <algorithm>
#include <bit>

namespace damask::kernels {
namespace {

// Pairs (row, key) with key <= row's position, for keys [key_begin, key_end) and rows [first, first + rows).
uint64_t CausalPairsOfKeys(uint64_t key_begin, uint64_t key_end, uint64_t first, uint64_t rows) {
  const uint64_t last = first + rows - 1;
  uint64_t pairs = 0;
  // Keys up to the first row are seen by all rows; each later one by one row less.
  if (key_begin <= first) {
    const uint64_t end = std::min(key_end, first + 1);
    pairs += (end - key_begin) * rows;
    key_begin = end;
  }
  key_end = std::min(key_end, last + 1);
  for (uint64_t key = key_begin; key < key_end; ++key) pairs += last + 1 - key;
  return pairs;
}

// Causal pairs of an exact mask in the planned quarters.
uint64_t ExactPairs(const PlanEntry& entry, const ExactMask& mask, uint64_t first, uint64_t rows) {
  uint64_t pairs = 0;
  for (size_t slot = 0; slot < kPageTokens; ++slot) {
    if ((entry.quarters >> (slot / kQuarterTokens) & 1) == 0) continue;
    const uint64_t key = uint64_t{entry.block} * kPageTokens + slot;
    const uint64_t begin = key > first ? std::min<uint64_t>(key - first, rows) : 0;
    for (uint64_t row = begin; row < rows; ++row) pairs += mask.rows[slot] >> row & 1;
  }
  return pairs;
}

uint32_t GroupBits(size_t group) { return group >= kMaxGroup ? kAllHeads : (1u << group) - 1; }

}  // namespace

uint8_t QuartersBetween(uint64_t block, uint64_t lowest_key, uint64_t highest_key) {
  uint8_t bits = 0;
  for (size_t quarter = 0; quarter < kPageTokens / kQuarterTokens; ++quarter) {
    const uint64_t begin = block * kPageTokens + quarter * kQuarterTokens;
    if (begin <= highest_key && begin + kQuarterTokens > lowest_key) bits = static_cast<uint8_t>(bits | (1u << quarter));
  }
  return bits;
}

uint64_t PlannedPairs(const Plan& plan, uint64_t first_position, size_t rows, size_t group) {
  if (rows == 0) return 0;
  uint64_t pairs = 0;
  for (const PlanEntry& entry : plan.entries) {
    const uint64_t heads = std::popcount(entry.heads & GroupBits(group));
    if (entry.exact != kNoExactMask) {
      pairs += heads * ExactPairs(entry, plan.exact_masks[entry.exact], first_position, rows);
      continue;
    }
    for (size_t quarter = 0; quarter < kPageTokens / kQuarterTokens; ++quarter) {
      if ((entry.quarters >> quarter & 1) == 0) continue;
      const uint64_t begin = uint64_t{entry.block} * kPageTokens + quarter * kQuarterTokens;
      pairs += heads * CausalPairsOfKeys(begin, begin + kQuarterTokens, first_position, rows);
    }
  }
  for (const PlanColumn& column : plan.columns) {
    const uint64_t heads = std::popcount(column.heads & GroupBits(group));
    pairs += heads * CausalPairsOfKeys(column.position, uint64_t{column.position} + 1, first_position, rows);
  }
  return pairs;
}

uint64_t CausalPairs(uint64_t first_position, size_t rows, size_t group) {
  return (rows * (first_position + 1) + uint64_t{rows} * (rows - 1) / 2) * group;
}

void FullPlan(uint64_t first_position, size_t rows, uint32_t window, Plan* plan) {
  plan->Clear();
  if (rows == 0) return;
  const uint64_t last = first_position + rows - 1;
  const uint64_t lowest = window != 0 && first_position >= window ? first_position - window + 1 : 0;
  for (uint64_t block = lowest / kPageTokens; block <= last / kPageTokens; ++block) {
    const uint64_t begin = block * kPageTokens;
    PlanEntry entry;
    entry.block = static_cast<uint32_t>(block);
    entry.quarters = QuartersBetween(block, lowest, last);
    entry.causal = begin + kPageTokens - 1 > first_position;
    if (window != 0 && begin + window <= last) entry.window = window;
    plan->entries.push_back(entry);
  }
}

}  // namespace damask::kernels
