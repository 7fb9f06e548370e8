// A plan: what one query block of one KV head's group computes. Kernels run plans and know nothing of how they were made; full
// attention is the plan with every block.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/page.h"

namespace damask::kernels {

// Rows of a query block. Query blocks begin at multiples of it, counted from position 0, so plans do not depend on chunking.
inline constexpr size_t kQueryBlockRows = 64;
inline constexpr size_t kMaxGroup = 32;  // query heads per KV head, the width of the head bits
inline constexpr uint32_t kAllHeads = 0xffffffffu;
// A bit for each head of a group.
inline uint32_t GroupBits(size_t group) { return group >= kMaxGroup ? kAllHeads : (1u << group) - 1; }

// The pairs of one key block that may be used, one by one: bit r of rows[slot] lets the row at first_position + r use that
// slot.
struct ExactMask {
  std::array<uint64_t, kPageTokens> rows = {};
};
static_assert(kQueryBlockRows <= 64, "the rows of a slot are the bits of one word");
inline constexpr uint32_t kNoExactMask = 0xffffffffu;

struct PlanEntry {
  uint32_t block = 0;          // key block: positions block * 64 ...
  uint8_t quarters = 0xf;      // which 16-key quarters (bit i: slots 16 i ...); others are not computed
  uint32_t heads = kAllHeads;  // which query heads of the group (bit g)
  // Single pairs are masked by position: `causal` drops key > query, `window` (0: none) drops key <= query - window. Entries
  // without either are computed whole.
  bool causal = false;
  uint32_t window = 0;
  // An index into Plan::exact_masks: only the pairs that it holds too are used.
  uint32_t exact = kNoExactMask;
};

// Single key positions taken out of their blocks and computed packed together.
struct PlanColumn {
  uint32_t position = 0;
  uint32_t heads = kAllHeads;
};

// Pooled keys: slot n of pooled page n / 64 (a page like any other) holds the mean of the keys, and of the values, at positions
// [n << shift, (n + 1) << shift). It counts as so many equal keys: its logit is scale * q . k + ln(1 << shift). A row sees it
// once it sees the last of its positions.
// Source: Pyramid Sparse Attention (arXiv 2512.04025).
inline constexpr size_t kMaxPoolShift = 3;
struct PooledEntry {
  uint32_t page = 0;
  uint8_t quarters = 0xf;  // which 16 slots of the page, as in PlanEntry
  uint8_t shift = 1;       // 1 .. kMaxPoolShift
  uint32_t heads = kAllHeads;

  bool operator==(const PooledEntry&) const = default;
};

struct Plan {
  // Sorted by block; the same block may appear twice with disjoint (heads, quarters).
  std::vector<PlanEntry> entries;
  // Sorted by position; disjoint from the entries for each head. Rows before a column do not see it.
  std::vector<PlanColumn> columns;
  std::vector<ExactMask> exact_masks;
  // Sorted by falling shift, then page; the same page may appear twice with disjoint (heads, quarters). The positions that they
  // stand for are disjoint from entries and columns for each head, and from each other. A model's own window does not cut them:
  // whoever makes the plan pools only what all rows may see of it.
  std::vector<PooledEntry> pooled;
  // pooled_pages[shift][page]: theirs who made the plan, and there as long as it is run.
  std::array<const std::byte* const*, kMaxPoolShift + 1> pooled_pages = {};

  void Clear() {
    entries.clear();
    columns.clear();
    exact_masks.clear();
    pooled.clear();
    pooled_pages = {};
  }
};

// The last of the positions that a pooled slot stands for.
inline uint64_t LastPosition(const PooledEntry& entry, size_t slot) {
  return ((uint64_t{entry.page} * kPageTokens + slot + 1) << entry.shift) - 1;
}

// The first key that a query sees of its last `window` keys, itself included; 0 where there is no window (0).
inline uint64_t LowestKey(uint64_t query, uint64_t window) { return window != 0 && query >= window ? query - window + 1 : 0; }

// Whether all keys of `block` lie behind the last `window` keys of the query at `query` (0: no window), and so of all later
// ones.
inline bool IsBehindWindow(uint64_t block, uint64_t query, uint64_t window) {
  return (block + 1) * kPageTokens <= LowestKey(query, window);
}

// The quarters of `block` that hold a key of [lowest_key, highest_key].
uint8_t QuartersBetween(uint64_t block, uint64_t lowest_key, uint64_t highest_key);

// The keys that the row at `position` uses with head g of the group, as ascending disjoint runs [begin, end): what the kernels
// compute for it. Of pooled keys the positions that they stand for: a recall counts them as seen, and what their means cost is
// in the error of the output. Overwrites `runs`.
struct PositionRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};
void PlannedKeys(const Plan& plan, uint64_t first_position, uint64_t position, size_t g, std::vector<PositionRange>* runs);

// Puts entries in the order of a plan.
void SortEntries(std::vector<PlanEntry>* entries);
// Puts columns in the order of a plan; those of one position become one, for the heads of all.
void SortColumns(std::vector<PlanColumn>* columns);
// Puts pooled entries in the order of a plan.
void SortPooled(std::vector<PooledEntry>* pooled);

// Gives head g of the group every key: its bit leaves all entries, columns and pooled entries, and a full plan is added for it.
void WidenHead(uint64_t first_position, size_t rows, uint32_t window, size_t g, Plan* plan);

// Planned (query, key) pairs of a block of `rows` queries from `first_position` on, over all `group` heads: the causal part of
// every planned quarter, columns singly, a pooled slot as one key; pairs that only a window edge drops count, as they are
// computed. Of entries with an exact mask only its pairs count: such a plan stands for its mask, not for its cost. What the
// pairs are divided by is CausalPairs().
uint64_t PlannedPairs(const Plan& plan, uint64_t first_position, size_t rows, size_t group);
uint64_t CausalPairs(uint64_t first_position, size_t rows, size_t group);

// The entry of one key block, whole, for all heads, with the masks by position that rows [first, last] need under the window
// (0: none).
inline PlanEntry BlockEntry(uint64_t block, uint64_t first, uint64_t last, uint64_t window) {
  PlanEntry entry;
  entry.block = static_cast<uint32_t>(block);
  entry.causal = block * kPageTokens + kPageTokens - 1 > first;
  if (window != 0 && block * kPageTokens + window <= last) entry.window = static_cast<uint32_t>(window);  // at most `last`
  return entry;
}

// The full plan: every block up to the diagonal, the last ones with a causal edge; with `window` > 0 only keys with
// key > query - window (a model's sliding window).
void FullPlan(uint64_t first_position, size_t rows, uint32_t window, Plan* plan);
// Appends the entries of a full plan for the key blocks [begin, end).
void AppendFullBlocks(uint64_t first_position, size_t rows, uint32_t window, uint64_t begin, uint64_t end, Plan* plan);

}  // namespace damask::kernels
