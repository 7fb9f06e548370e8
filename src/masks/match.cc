#include "masks/match.h"

#include <algorithm>

namespace damask::masks {
namespace {

double Gamma(uint32_t count, size_t cells) { return static_cast<double>(count) / static_cast<double>(cells); }

void AddOffset(uint32_t offset, double gamma, std::vector<DiagonalInterval>* intervals) {
  const auto value = static_cast<float>(gamma);
  if (!intervals->empty() && intervals->back().end == offset) {
    intervals->back().end = offset + 1;
    intervals->back().gamma = std::min(intervals->back().gamma, value);
  } else {
    intervals->push_back({offset, offset + 1, value});
  }
}

// The best pattern of the pool: its offset or column, or none.
struct Best {
  double gamma = -1.0;
  uint32_t index = 0;
  bool diagonal = true;

  void Offer(double offered, uint32_t at, bool is_diagonal) {
    // A larger index has fewer cells.
    if (offered > gamma || (offered == gamma && at < index)) *this = {offered, at, is_diagonal};
  }
};

Best FindBest(const PatternCounts& counts, size_t eligible, double mu) {
  const size_t length = counts.diagonals.size();
  Best best;
  for (uint32_t i = 0; i < eligible; ++i) {
    for (const bool diagonal : {true, false}) {
      const double gamma = Gamma(diagonal ? counts.diagonals[i] : counts.verticals[i], length - i);
      if (gamma >= mu) best.Offer(gamma, i, diagonal);
    }
  }
  return best;
}

template <class KeepsCell>
double MeanKept(const HeadStatistics& statistics, uint32_t sink_keys, const KeepsCell& keeps) {
  const size_t length = statistics.length();
  const size_t first = sink_keys < length ? sink_keys : 0;
  double total = 0.0;
  for (size_t row = first; row < length; ++row) {
    const std::span<const double> sums = statistics.row(row);
    double all = 0.0;
    double kept = 0.0;
    for (size_t key = 0; key <= row; ++key) {
      all += sums[key];
      if (keeps(row, key)) kept += sums[key];
    }
    total += all > 0.0 ? kept / all : 1.0;
  }
  return total / static_cast<double>(length - first);
}

}  // namespace

PatternCounts CountPatterns(const TrueMask& mask) {
  const size_t length = mask.length();
  PatternCounts counts{std::vector<uint32_t>(length + 1), std::vector<uint32_t>(length + 1)};
  for (size_t row = 0; row < length; ++row) {
    for (const KeyRange& run : mask.row(row)) {
      ++counts.verticals[run.begin];
      --counts.verticals[run.end];
      ++counts.diagonals[row + 1 - run.end];  // the last key of the run has the smallest offset
      --counts.diagonals[row + 1 - run.begin];
    }
  }
  for (std::vector<uint32_t>* const list : {&counts.diagonals, &counts.verticals}) {
    for (size_t i = 1; i < length; ++i) (*list)[i] += (*list)[i - 1];  // unsigned wrap-around cancels out
    list->resize(length);
  }
  return counts;
}

Patterns MatchPatterns(const PatternCounts& counts, const MatchOptions& options) {
  const size_t length = counts.diagonals.size();
  const size_t shortest = std::max<size_t>(options.min_cells, 1);
  const size_t eligible = length >= shortest ? length - shortest + 1 : 0;  // patterns with at least min_cells cells
  Best best;
  if (options.match == Match::kBest) best = FindBest(counts, eligible, options.mu);
  const auto kept = [&](double gamma, uint32_t index, bool diagonal) {
    if (index >= eligible || gamma < options.mu) return false;
    return options.match == Match::kUnion || (best.gamma >= 0.0 && best.index == index && best.diagonal == diagonal);
  };
  Patterns patterns;
  for (uint32_t i = 0; i < length; ++i) {
    const double diagonal = Gamma(counts.diagonals[i], length - i);
    if (i == 0 || kept(diagonal, i, true)) AddOffset(i, diagonal, &patterns.diagonals);
    const double vertical = Gamma(counts.verticals[i], length - i);
    if (kept(vertical, i, false)) patterns.verticals.push_back({i, static_cast<float>(vertical)});
  }
  return patterns;
}

KeptCells CellsOfPatterns(const Patterns& patterns, uint32_t sink_keys, size_t length) {
  KeptCells cells{std::vector<bool>(length), std::vector<bool>(length)};
  for (const DiagonalInterval& interval : patterns.diagonals) {
    for (size_t offset = interval.begin; offset < std::min<size_t>(interval.end, length); ++offset)
      cells.offsets[offset] = true;
  }
  for (const Vertical& vertical : patterns.verticals) {
    if (vertical.column < length) cells.columns[vertical.column] = true;
  }
  for (size_t key = 0; key < std::min<size_t>(sink_keys, length); ++key) cells.columns[key] = true;
  return cells;
}

KeptCells CellsOfWindow(uint32_t sink_keys, uint32_t window, size_t length) {
  return CellsOfPatterns({{{0, window, 0.0f}}, {}}, sink_keys, length);
}

double KeptMass(const HeadStatistics& statistics, const KeptCells& kept, uint32_t sink_keys) {
  return MeanKept(statistics, sink_keys, [&](size_t row, size_t key) { return kept.offsets[row - key] || kept.columns[key]; });
}

double KeptMass(const HeadStatistics& statistics, const TrueMask& mask, uint32_t sink_keys) {
  // Keys come in ascending order: one walk over the row's runs.
  size_t run = 0;
  return MeanKept(statistics, sink_keys, [&](size_t row, size_t key) {
    const std::span<const KeyRange> runs = mask.row(row);
    if (key == 0) run = 0;
    while (run < runs.size() && runs[run].end <= key) ++run;
    return key == row || key < sink_keys || (run < runs.size() && runs[run].begin <= key);
  });
}

}  // namespace damask::masks
