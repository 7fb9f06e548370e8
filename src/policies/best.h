// The best of a list in a fixed order: the higher score first, of equal scores the lower index. NaN counts as the lowest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace damask::policies {

// Indices of the `count` best of `scores` (all, where there are fewer), best first. Cost: one pass over the scores, and sorting
// `count` of them.
void BestIndices(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices);

// The same indices in ascending order, without putting the best in theirs.
void BestIndicesAscending(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices);

}  // namespace damask::policies
