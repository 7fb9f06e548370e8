#include "masks/statistics.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace damask::masks {

HeadStatistics::HeadStatistics(size_t length) : sums_(TriangleCells(length)), counts_(length) {}

void HeadStatistics::AddRow(size_t row, std::span<const float> probabilities) {
  if (row >= length()) return;
  double* const sum = &sums_[TriangleIndex(row, 0)];
  for (size_t key = 0; key <= row; ++key) sum[key] += double{probabilities[key]};
  ++counts_[row];
}

void HeadStatistics::AddMean(std::span<const float> mean, uint64_t count) {
  AddMean(mean, std::vector<uint64_t>(length(), count));
}

void HeadStatistics::AddMean(std::span<const float> mean, std::span<const uint64_t> counts) {
  for (size_t row = 0; row < length(); ++row) {
    for (size_t cell = TriangleIndex(row, 0); cell <= TriangleIndex(row, row); ++cell) {
      sums_[cell] += double{mean[cell]} * static_cast<double>(counts[row]);
    }
    counts_[row] += counts[row];
  }
}

size_t HeadStatistics::reached_rows() const {
  return static_cast<size_t>(std::find(counts_.begin(), counts_.end(), uint64_t{0}) - counts_.begin());
}

Status HeadStatistics::Check() const {
  const size_t reached = reached_rows();
  if (reached < length()) {
    return InvalidArgument(
        fmt::format("no sample reaches position {} of the capture length {}: the texts are too short", reached, length()));
  }
  const auto bad = std::find_if(sums_.begin(), sums_.end(), [](double sum) { return !std::isfinite(sum) || sum < 0.0; });
  if (bad != sums_.end()) return InvalidArgument(fmt::format("an attention map holds {}, expected probabilities", *bad));
  return {};
}

void HeadStatistics::Clear() {
  std::fill(sums_.begin(), sums_.end(), 0.0);
  std::fill(counts_.begin(), counts_.end(), uint64_t{0});
}

}  // namespace damask::masks
