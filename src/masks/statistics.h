// What the capture keeps of a head: the sum S of its attention probabilities over the samples and the number n of samples that
// reach each position. Both are kept, not only the mean, because some transforms act on the sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "masks/triangle.h"

namespace damask::masks {

class HeadStatistics {
 public:
  // length: the capture length L, 1 .. kMaxCaptureLength.
  explicit HeadStatistics(size_t length);

  // Adds one sample's softmax row: probabilities of keys 0 .. row, [row + 1]. Rows from L on are ignored, so a caller may hand
  // over all it has.
  void AddRow(size_t row, std::span<const float> probabilities);
  // Adds `count` samples of which only the mean map is known: S += count * mean. mean: packed triangle of L rows.
  void AddMean(std::span<const float> mean, uint64_t count);
  // The same with a number of samples for every row, [L].
  void AddMean(std::span<const float> mean, std::span<const uint64_t> counts);

  size_t length() const { return counts_.size(); }
  uint64_t count(size_t row) const { return counts_[row]; }
  std::span<const double> sums() const { return sums_; }                                              // packed triangle
  std::span<const double> row(size_t row) const { return {&sums_[TriangleIndex(row, 0)], row + 1}; }  // S of one row
  double Mean(size_t row, size_t key) const { return sums_[TriangleIndex(row, key)] * Inverse(row); }
  // 1 / (n + 1e-10): what turns the sum of a row into its mean.
  double Inverse(size_t row) const { return 1.0 / (static_cast<double>(counts_[row]) + 1e-10); }

  // Rows before the first that no sample reached. A calibration needs all L of them.
  size_t reached_rows() const;
  // InvalidArgument where a row has no sample or a sum is no finite number >= 0.
  Status Check() const;
  // Back to nothing, memory kept: one layer's statistics serve the next layer.
  void Clear();

 private:
  std::vector<double> sums_;
  std::vector<uint64_t> counts_;
};

}  // namespace damask::masks
