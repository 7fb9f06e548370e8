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

// A slot is there for the rows that see the last of its positions.
uint64_t PooledPairs(const PooledEntry& entry, uint64_t first, uint64_t rows) {
  uint64_t pairs = 0;
  for (size_t slot = 0; slot < kPageTokens; slot += kQuarterTokens) {
    if ((entry.quarters >> (slot / kQuarterTokens) & 1) == 0) continue;
    if (LastPosition(entry, slot + kQuarterTokens - 1) <= first) {
      pairs += kQuarterTokens * rows;
      continue;
    }
    for (size_t i = 0; i < kQuarterTokens; ++i) {
      const uint64_t last = LastPosition(entry, slot + i);
      pairs += CausalPairsOfKeys(last, last + 1, first, rows);
    }
  }
  return pairs;
}

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
  for (const PooledEntry& entry : plan.pooled) {
    const uint64_t heads = std::popcount(entry.heads & GroupBits(group));
    pairs += heads * PooledPairs(entry, first_position, rows);
  }
  return pairs;
}

uint64_t CausalPairs(uint64_t first_position, size_t rows, size_t group) {
  return (rows * (first_position + 1) + uint64_t{rows} * (rows - 1) / 2) * group;
}

namespace {

// Keys of one quarter of one entry for one row; appended run by run.
void AddQuarterKeys(const Plan& plan, const PlanEntry& entry, size_t quarter, uint64_t first_position, uint64_t position,
                    std::vector<PositionRange>* runs) {
  const uint64_t begin = uint64_t{entry.block} * kPageTokens + quarter * kQuarterTokens;
  uint64_t low = begin;
  uint64_t high = begin + kQuarterTokens;
  if (entry.causal) high = std::min(high, position + 1);
  low = std::max(low, LowestKey(position, entry.window));
  if (low >= high) return;
  if (entry.exact == kNoExactMask) {
    runs->push_back({low, high});
    return;
  }
  const uint64_t row_bit = uint64_t{1} << (position - first_position);
  for (uint64_t key = low; key < high; ++key) {
    if ((plan.exact_masks[entry.exact].rows[key % kPageTokens] & row_bit) != 0) runs->push_back({key, key + 1});
  }
}

// What the slots of a pooled entry that the row sees stand for.
void AddPooledKeys(const PooledEntry& entry, uint64_t position, std::vector<PositionRange>* runs) {
  const uint64_t seen = (position + 1) >> entry.shift << entry.shift;
  for (size_t slot = 0; slot < kPageTokens; slot += kQuarterTokens) {
    if ((entry.quarters >> (slot / kQuarterTokens) & 1) == 0) continue;
    const uint64_t begin = (uint64_t{entry.page} * kPageTokens + slot) << entry.shift;
    const uint64_t end = std::min(seen, LastPosition(entry, slot + kQuarterTokens - 1) + 1);
    if (begin < end) runs->push_back({begin, end});
  }
}

}  // namespace

void PlannedKeys(const Plan& plan, uint64_t first_position, uint64_t position, size_t g, std::vector<PositionRange>* runs) {
  runs->clear();
  const uint32_t bit = 1u << g;
  for (const PlanEntry& entry : plan.entries) {
    if ((entry.heads & bit) == 0) continue;
    for (size_t quarter = 0; quarter < kPageTokens / kQuarterTokens; ++quarter) {
      if ((entry.quarters >> quarter & 1) != 0) AddQuarterKeys(plan, entry, quarter, first_position, position, runs);
    }
  }
  for (const PlanColumn& column : plan.columns) {
    if ((column.heads & bit) != 0 && column.position <= position)
      runs->push_back({column.position, uint64_t{column.position} + 1});
  }
  for (const PooledEntry& entry : plan.pooled) {
    if ((entry.heads & bit) != 0) AddPooledKeys(entry, position, runs);
  }
  std::sort(runs->begin(), runs->end(), [](const PositionRange& a, const PositionRange& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const PositionRange& run : *runs) {
    if (kept > 0 && (*runs)[kept - 1].end == run.begin) {
      (*runs)[kept - 1].end = run.end;
    } else {
      (*runs)[kept++] = run;
    }
  }
  runs->resize(kept);
}

void SortEntries(std::vector<PlanEntry>* entries) {
  std::stable_sort(entries->begin(), entries->end(), [](const PlanEntry& a, const PlanEntry& b) { return a.block < b.block; });
}

void SortColumns(std::vector<PlanColumn>* columns) {
  const auto before = [](const PlanColumn& a, const PlanColumn& b) { return a.position < b.position; };
  // Kept sets arrive in order, at every drawn token anew: to see it costs a seventh of sorting them.
  if (!std::is_sorted(columns->begin(), columns->end(), before)) std::sort(columns->begin(), columns->end(), before);
  size_t kept = 0;
  for (const PlanColumn& column : *columns) {
    if (kept > 0 && (*columns)[kept - 1].position == column.position) {
      (*columns)[kept - 1].heads |= column.heads;
    } else {
      (*columns)[kept++] = column;
    }
  }
  columns->resize(kept);
}

void SortPooled(std::vector<PooledEntry>* pooled) {
  std::stable_sort(pooled->begin(), pooled->end(), [](const PooledEntry& a, const PooledEntry& b) {
    return a.shift != b.shift ? a.shift > b.shift : a.page < b.page;
  });
}

void WidenHead(uint64_t first_position, size_t rows, uint32_t window, size_t g, Plan* plan) {
  const uint32_t bit = 1u << g;
  for (PlanEntry& entry : plan->entries) entry.heads &= ~bit;
  for (PlanColumn& column : plan->columns) column.heads &= ~bit;
  for (PooledEntry& entry : plan->pooled) entry.heads &= ~bit;
  std::erase_if(plan->entries, [](const PlanEntry& entry) { return entry.heads == 0; });
  std::erase_if(plan->columns, [](const PlanColumn& column) { return column.heads == 0; });
  std::erase_if(plan->pooled, [](const PooledEntry& entry) { return entry.heads == 0; });
  Plan full;
  FullPlan(first_position, rows, window, &full);
  for (PlanEntry& entry : full.entries) {
    entry.heads = bit;
    plan->entries.push_back(entry);
  }
  SortEntries(&plan->entries);
}

void AppendFullBlocks(uint64_t first_position, size_t rows, uint32_t window, uint64_t begin, uint64_t end, Plan* plan) {
  const uint64_t last = first_position + rows - 1;
  const uint64_t lowest = LowestKey(first_position, window);
  end = std::min(end, last / kPageTokens + 1);
  for (uint64_t block = std::max(begin, lowest / kPageTokens); block < end; ++block) {
    PlanEntry entry = BlockEntry(block, first_position, last, window);
    entry.quarters = QuartersBetween(block, lowest, last);
    plan->entries.push_back(entry);
  }
}

void FullPlan(uint64_t first_position, size_t rows, uint32_t window, Plan* plan) {
  plan->Clear();
  if (rows != 0) AppendFullBlocks(first_position, rows, window, 0, UINT64_MAX, plan);
}

}  // namespace damask::kernels
