#include "masks/extend.h"

#include <algorithm>

namespace damask::masks {
namespace {

uint64_t Triangle(uint64_t n) { return n * (n + 1) / 2; }

bool InIntervals(const std::vector<DiagonalInterval>& intervals, uint64_t offset) {
  const auto after =
      std::partition_point(intervals.begin(), intervals.end(), [&](const DiagonalInterval& i) { return i.begin <= offset; });
  return after != intervals.begin() && offset < std::prev(after)->end;
}

bool InVerticals(const std::vector<Vertical>& verticals, uint64_t key) {
  const auto at = std::partition_point(verticals.begin(), verticals.end(), [&](const Vertical& v) { return v.column < key; });
  return at != verticals.end() && at->column == key;
}

// Sum over rows [0, n) of the number of offsets in [begin, end) that reach a key >= 0.
uint64_t DiagonalPairs(uint64_t begin, uint64_t end, uint64_t n) {
  const auto up_to = [&](uint64_t e) {  // offsets below e: each offset r has n - r pairs
    e = std::min(e, n);
    return Triangle(n) - Triangle(n - e);
  };
  return up_to(end) - up_to(begin);
}

// How many kept offsets are below `offset`.
uint64_t OffsetsBelow(const std::vector<DiagonalInterval>& intervals, uint64_t offset) {
  uint64_t count = 0;
  for (const DiagonalInterval& interval : intervals) {
    if (interval.begin >= offset) break;
    count += std::min<uint64_t>(interval.end, offset) - interval.begin;
  }
  return count;
}

// Pairs that the patterns keep in rows [0, n): diagonals, and columns where no diagonal meets them.
uint64_t PatternPairs(const std::vector<DiagonalInterval>& diagonals, const std::vector<uint32_t>& columns, uint64_t n) {
  uint64_t pairs = 0;
  for (const DiagonalInterval& interval : diagonals) pairs += DiagonalPairs(interval.begin, interval.end, n);
  for (const uint32_t column : columns) {
    if (column >= n) break;
    pairs += n - column - OffsetsBelow(diagonals, n - column);
  }
  return pairs;
}

// Pairs of rows [0, rows) of the corner: true mask, sinks and diagonal.
uint64_t CornerPairs(const TrueMask& mask, uint64_t sinks, uint64_t rows) {
  uint64_t pairs = 0;
  for (uint64_t row = 0; row < rows; ++row) {
    const uint64_t always = std::min(sinks, row + 1);
    pairs += always;
    for (const KeyRange& run : mask.row(row)) {
      if (run.end > always) pairs += run.end - std::max<uint64_t>(run.begin, always);
    }
    if (row >= always && !mask.Has(row, row)) ++pairs;
  }
  return pairs;
}

std::vector<uint32_t> SinksAndVerticals(const HeadMask& head, uint32_t sink_keys) {
  std::vector<uint32_t> columns;
  for (uint32_t key = 0; key < sink_keys; ++key) columns.push_back(key);
  for (const Vertical& vertical : head.patterns.verticals) {
    if (vertical.column >= sink_keys) columns.push_back(vertical.column);
  }
  return columns;
}

}  // namespace

bool Keeps(const HeadMask& head, const Parameters& parameters, uint64_t query, uint64_t key) {
  if (key > query) return false;
  if (head.treatment != Treatment::kStatic) return true;
  if (head.form == StaticForm::kWindow) return key < head.window_sinks || query - key < head.window;
  if (key == query || key < parameters.sink_keys) return true;
  if (query < parameters.capture_length) return head.true_mask.Has(query, key);
  return InIntervals(head.patterns.diagonals, query - key) || InVerticals(head.patterns.verticals, key);
}

uint64_t KeptPairs(const HeadMask& head, const Parameters& parameters, uint64_t length) {
  if (head.treatment != Treatment::kStatic) return Triangle(length);
  if (head.form == StaticForm::kWindow) {
    // Row i keeps window + sinks keys at most; all of them while they meet.
    const uint64_t reach = std::min(length, uint64_t{head.window} + head.window_sinks);
    return Triangle(reach) + (length - reach) * reach;
  }
  const uint64_t corner = std::min<uint64_t>(length, parameters.capture_length);
  const uint64_t pairs = CornerPairs(head.true_mask, parameters.sink_keys, corner);
  if (length <= corner) return pairs;
  const std::vector<uint32_t> columns = SinksAndVerticals(head, parameters.sink_keys);
  return pairs + PatternPairs(head.patterns.diagonals, columns, length) -
         PatternPairs(head.patterns.diagonals, columns, corner);
}

double TokenDensity(const HeadMask& head, const Parameters& parameters, uint64_t length) {
  if (length == 0) return 0.0;
  return static_cast<double>(KeptPairs(head, parameters, length)) / static_cast<double>(Triangle(length));
}

}  // namespace damask::masks
