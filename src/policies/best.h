// The best of a list in a fixed order: the higher score first, of equal scores the lower index. NaN counts as the lowest.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace damask::policies {

namespace best_internal {

// One number that orders by score, then by index: comparing these is what the time goes into.
inline std::vector<uint64_t>& OrderedKeys(std::span<const float> scores) {
  thread_local std::vector<uint64_t> keys;
  keys.resize(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(scores[i] + 0.0f);  // -0 is 0
    const bool is_number = scores[i] == scores[i];
    const uint32_t order = !is_number ? 0 : (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    keys[i] = uint64_t{order} << 32 | (0xffffffffu - static_cast<uint32_t>(i));
  }
  return keys;
}

inline uint32_t IndexOf(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

}  // namespace best_internal

// Indices of the `count` best of `scores` (all, where there are fewer), best first.
inline void BestIndices(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices) {
  std::vector<uint64_t>& keys = best_internal::OrderedKeys(scores);
  count = std::min(count, scores.size());
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(count);
  if (count < keys.size()) std::nth_element(keys.begin(), end, keys.end(), std::greater<>());
  std::sort(keys.begin(), end, std::greater<>());
  indices->resize(count);
  for (size_t i = 0; i < count; ++i) (*indices)[i] = best_internal::IndexOf(keys[i]);
}

// The same indices in ascending order, without putting the best in theirs.
inline void BestIndicesAscending(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices) {
  std::vector<uint64_t>& keys = best_internal::OrderedKeys(scores);
  count = std::min(count, scores.size());
  indices->clear();
  if (count == 0) return;
  // Marks by index: a list that is read off in order needs no sorting.
  thread_local std::vector<uint8_t> among_best;
  among_best.assign(scores.size(), 0);
  if (count < keys.size()) {
    std::nth_element(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(count), keys.end(), std::greater<>());
  }
  for (size_t i = 0; i < count; ++i) among_best[best_internal::IndexOf(keys[i])] = 1;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (among_best[i] != 0) indices->push_back(static_cast<uint32_t>(i));
  }
}

}  // namespace damask::policies
