// The best of a list in a fixed order: the higher score first, of equal scores the lower index. NaN counts as the lowest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace damask::policies {

// Indices of the `count` best of `scores` (all, where there are fewer), best first.
inline void BestIndices(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices) {
  indices->resize(scores.size());
  std::iota(indices->begin(), indices->end(), 0u);
  count = std::min(count, scores.size());
  const auto better = [scores](uint32_t a, uint32_t b) {
    const bool a_is_number = scores[a] == scores[a];
    const bool b_is_number = scores[b] == scores[b];
    if (a_is_number != b_is_number) return a_is_number;
    if (a_is_number && scores[a] != scores[b]) return scores[a] > scores[b];
    return a < b;
  };
  std::partial_sort(indices->begin(), indices->begin() + static_cast<std::ptrdiff_t>(count), indices->end(), better);
  indices->resize(count);
}

}  // namespace damask::policies
