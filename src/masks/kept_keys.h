// The keys that a head's mask keeps for one query, as ranges: what Keeps() of extend.h says pair by pair, row by row.
#pragma once

#include <cstdint>
#include <vector>

#include "masks/mask.h"

namespace damask::masks {

// Keys [begin, end).
struct KeySpan {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool operator==(const KeySpan&) const = default;
};

// Overwrites `keys`: ascending, apart from one another, the query itself among them, nothing behind it. Cost: O(k log k) for k
// kept patterns.
void KeptKeys(const HeadMask& head, const Parameters& parameters, uint64_t query, std::vector<KeySpan>* keys);

}  // namespace damask::masks
