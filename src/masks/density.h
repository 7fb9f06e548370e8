// What plans of a group of heads will cost at a given length, without making all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "masks/compile.h"
#include "masks/mask.h"

namespace damask::masks {

// What the content heads of a group choose for rows [first, first + rows): GroupMask::Chosen of them.
using ChosenOf = std::function<GroupMask::Chosen(uint64_t first, size_t rows)>;

// Planned pairs over causal pairs of a text of `length` tokens, as kernels::PlannedPairs counts. Plans of at most 64 query
// blocks, evenly spread, stand for all; up to 4096 tokens that is every block. 0 for an empty text. Without `chosen` content
// heads count with all keys.
double PlannedDensity(const GroupMask& group, uint64_t length, PlanMode mode, const ChosenOf& chosen = nullptr);

// The mean over all heads of a mask, whose heads share KV heads in groups of heads / kv_heads (one by one where kv_heads is
// unknown). `windows`: the model's own sliding window of every layer, 0 for none; empty: none in any.
double PlannedDensity(const Mask& mask, uint64_t length, PlanMode mode, std::span<const uint32_t> windows = {});

}  // namespace damask::masks
