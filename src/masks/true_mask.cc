#include "masks/true_mask.h"

#include <algorithm>
#include <cmath>

namespace damask::masks {

bool TrueMask::Has(size_t row, size_t key) const {
  const std::span<const KeyRange> runs = this->row(row);
  const auto after = std::partition_point(runs.begin(), runs.end(), [&](const KeyRange& run) { return run.begin <= key; });
  return after != runs.begin() && key < std::prev(after)->end;
}

uint64_t TrueMask::CountCells() const {
  uint64_t cells = 0;
  for (const KeyRange& run : runs_) cells += run.end - run.begin;
  return cells;
}

void TrueMask::AppendRow(std::span<const KeyRange> runs) {
  runs_.insert(runs_.end(), runs.begin(), runs.end());
  row_ends_.push_back(static_cast<uint32_t>(runs_.size()));
}

double Percentile(std::vector<double> values, double percent) {
  if (values.empty()) return 0.0;
  const double place = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = std::min(static_cast<size_t>(place), values.size() - 1);
  const auto nth = values.begin() + static_cast<ptrdiff_t>(below);
  std::nth_element(values.begin(), nth, values.end());
  const double low = *nth;
  const double part = place - static_cast<double>(below);
  if (part <= 0.0) return low;
  return low + (*std::min_element(nth + 1, values.end()) - low) * part;
}

TrueMask ThresholdMask(std::span<const double> amplified, size_t length, double threshold) {
  TrueMask mask;
  std::vector<KeyRange> runs;
  for (size_t row = 0; row < length; ++row) {
    runs.clear();
    const double* const values = &amplified[TriangleIndex(row, 0)];
    for (size_t key = 0; key <= row; ++key) {
      if (!(values[key] >= threshold)) continue;
      if (runs.empty() || runs.back().end != key) runs.push_back({static_cast<uint16_t>(key), static_cast<uint16_t>(key)});
      ++runs.back().end;
    }
    mask.AppendRow(runs);
  }
  return mask;
}

}  // namespace damask::masks
