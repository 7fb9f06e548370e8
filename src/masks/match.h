// Which diagonals and verticals a true mask fills (DAM stage 1, step 4), and how much attention they hold.
//   diagonal r: the cells (i, i - r), of which there are L - r in the capture; vertical c: the cells (i, c) with i >= c, L - c.
//   gamma of a pattern: the share of its cells that are in the true mask; kept where gamma >= mu.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "masks/statistics.h"
#include "masks/true_mask.h"

namespace damask::masks {

// Diagonals at offsets [begin, end).
struct DiagonalInterval {
  uint32_t begin = 0;
  uint32_t end = 0;
  float gamma = 0.0f;  // the lowest of the interval
  bool operator==(const DiagonalInterval&) const = default;
};

struct Vertical {
  uint32_t column = 0;
  float gamma = 0.0f;
  bool operator==(const Vertical&) const = default;
};

struct Patterns {
  std::vector<DiagonalInterval> diagonals;  // ascending, apart from one another; the first begins at offset 0
  std::vector<Vertical> verticals;          // ascending
};

enum class Match : uint8_t {
  kUnion = 0,  // every pattern with gamma >= mu
  kBest = 1,   // of those the one with the largest gamma, of equal ones the one with the most cells
};

struct MatchOptions {
  double mu = 0.8;
  uint32_t min_cells = 32;  // shorter patterns match by chance and are not looked at; 1 is the paper
  Match match = Match::kUnion;
};

// Cells of the true mask on every diagonal and vertical, [L] each.
struct PatternCounts {
  std::vector<uint32_t> diagonals;
  std::vector<uint32_t> verticals;
};

// All patterns at once: a run of keys adds to a range of verticals and to a range of diagonals, so two difference arrays over
// the runs and one prefix sum give every count. Cost: O(runs + L).
PatternCounts CountPatterns(const TrueMask& mask);

// The kept patterns. Offset 0 is among them whatever its gamma, so that no row is empty.
Patterns MatchPatterns(const PatternCounts& counts, const MatchOptions& options);

// Which cells a mask made of patterns keeps: some offsets, some columns.
struct KeptCells {
  std::vector<bool> offsets;  // [L]
  std::vector<bool> columns;  // [L]
};
KeptCells CellsOfPatterns(const Patterns& patterns, uint32_t sink_keys, size_t length);
KeptCells CellsOfWindow(uint32_t sink_keys, uint32_t window, size_t length);

// The share of the captured attention that falls on kept cells: mean over the rows of kept mass / row's mass. Rows in which all
// keys are sinks lose nothing by definition and are left out where there are others. Cost: O(L^2).
double KeptMass(const HeadStatistics& statistics, const KeptCells& kept, uint32_t sink_keys);
// The same for the true mask together with diagonal and sinks.
double KeptMass(const HeadStatistics& statistics, const TrueMask& mask, uint32_t sink_keys);

}  // namespace damask::masks
