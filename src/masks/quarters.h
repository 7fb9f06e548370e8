// Sorted, disjoint lists of quarter ranges, and the walk over the key blocks that several heads' lists name together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/plan.h"

namespace damask::masks {

// Keys in whole quarters: positions [16 begin, 16 end).
struct QuarterRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool operator==(const QuarterRange&) const = default;
};

// Adds a range that begins at or after the last one's begin; joins what touches.
inline void AppendRange(QuarterRange range, std::vector<QuarterRange>* ranges) {
  if (!ranges->empty() && range.begin <= ranges->back().end) {
    ranges->back().end = std::max(ranges->back().end, range.end);
  } else {
    ranges->push_back(range);
  }
}

// Of ranges [begin, end) in any unit; empty ones go.
template <class Range>
void SortAndJoin(std::vector<Range>* ranges) {
  std::sort(ranges->begin(), ranges->end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const Range range : *ranges) {
    if (range.begin >= range.end) continue;
    if (kept != 0 && range.begin <= (*ranges)[kept - 1].end) {
      (*ranges)[kept - 1].end = std::max((*ranges)[kept - 1].end, range.end);
    } else {
      (*ranges)[kept++] = range;
    }
  }
  ranges->resize(kept);
}

// The union of two lists whose ranges ascend by their begin.
inline void JoinSorted(const std::vector<QuarterRange>& a, const std::vector<QuarterRange>& b,
                       std::vector<QuarterRange>* joined) {
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    const bool from_a = j == b.size() || (i < a.size() && a[i].begin <= b[j].begin);
    AppendRange(from_a ? a[i++] : b[j++], joined);
  }
}

inline bool Contains(const std::vector<QuarterRange>& ranges, uint32_t quarter) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const QuarterRange& range) { return quarter >= range.begin && quarter < range.end; });
}

// Calls visit(block, quarters[head]) for every key block of which some head's list names a quarter with keys in
// [lowest_key, highest_key], in ascending order.
template <class Visit>
void ForEachBlock(const std::vector<std::vector<QuarterRange>>& ranges, uint64_t lowest_key, uint64_t highest_key,
                  std::vector<size_t>* cursors, const Visit& visit) {
  constexpr uint64_t kQuarters = kernels::kPageTokens / kernels::kQuarterTokens;
  uint8_t quarters[kernels::kMaxGroup] = {};
  cursors->assign(ranges.size(), 0);
  uint64_t next = lowest_key / kernels::kPageTokens;
  const uint64_t last = highest_key / kernels::kPageTokens;
  while (true) {
    uint64_t block = last + 1;
    for (size_t h = 0; h < ranges.size(); ++h) {
      size_t& cursor = (*cursors)[h];
      while (cursor < ranges[h].size() && ranges[h][cursor].end <= next * kQuarters) ++cursor;
      if (cursor < ranges[h].size()) block = std::min(block, std::max(next, ranges[h][cursor].begin / kQuarters));
    }
    if (block > last) return;
    const uint8_t visible = kernels::QuartersBetween(block, lowest_key, highest_key);
    uint8_t any = 0;
    for (size_t h = 0; h < ranges.size(); ++h) {
      uint8_t bits = 0;
      for (size_t i = (*cursors)[h]; i < ranges[h].size() && ranges[h][i].begin < (block + 1) * kQuarters; ++i) {
        for (uint64_t q = 0; q < kQuarters; ++q) {
          const uint64_t quarter = block * kQuarters + q;
          if (quarter >= ranges[h][i].begin && quarter < ranges[h][i].end) bits = static_cast<uint8_t>(bits | (1u << q));
        }
      }
      quarters[h] = bits & visible;
      any = any | quarters[h];
    }
    if (any != 0) visit(block, static_cast<const uint8_t*>(quarters));
    next = block + 1;
  }
}

}  // namespace damask::masks
