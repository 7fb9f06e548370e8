// The true mask of a head: the cells of its capture whose amplified value reaches the threshold (DAM stage 1, step 3), as runs
// of keys in every row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "masks/triangle.h"

namespace damask::masks {

struct KeyRange {
  uint16_t begin = 0;  // keys [begin, end)
  uint16_t end = 0;
  bool operator==(const KeyRange&) const = default;
};
static_assert(kMaxCaptureLength <= UINT16_MAX);

class TrueMask {
 public:
  size_t length() const { return row_ends_.size(); }
  // The runs of a row: ascending, apart from one another, within keys 0 .. row.
  std::span<const KeyRange> row(size_t row) const {
    const size_t begin = row == 0 ? 0 : row_ends_[row - 1];
    return {runs_.data() + begin, row_ends_[row] - begin};
  }
  size_t num_runs() const { return runs_.size(); }
  bool Has(size_t row, size_t key) const;
  uint64_t CountCells() const;

  void AppendRow(std::span<const KeyRange> runs);
  bool operator==(const TrueMask&) const = default;

 private:
  std::vector<KeyRange> runs_;
  std::vector<uint32_t> row_ends_;  // [L]: where the runs of a row end
};

// The value below which `percent` of the values lie: linear between neighbours, as numpy's default. percent in [0, 100].
double Percentile(std::vector<double> values, double percent);

// Cells with amplified value >= threshold. amplified: packed triangle of `length` rows.
TrueMask ThresholdMask(std::span<const double> amplified, size_t length, double threshold);

}  // namespace damask::masks
