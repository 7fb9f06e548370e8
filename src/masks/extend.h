// What a head's mask keeps at any length (DAM stage 2), pair by pair: the rule that plans are compiled from and tested against.
//   static, patterns   the query itself and the first sink_keys keys always; below the capture length L the true mask, from L
//   on
//                      the kept diagonals and verticals
//   static, window     the first window_sinks keys and the last `window` ones, the query included
//   content, dense     every key
// A row's keys depend on its position alone, never on how long the text becomes.
#pragma once

#include <cstdint>

#include "masks/mask.h"

namespace damask::masks {

bool Keeps(const HeadMask& head, const Parameters& parameters, uint64_t query, uint64_t key);

// Kept (query, key) pairs of a text of `length` tokens, token by token. Cost: O(runs + kept patterns), whatever the length.
uint64_t KeptPairs(const HeadMask& head, const Parameters& parameters, uint64_t length);

// Their share of the causal pairs; 0 for an empty text.
double TokenDensity(const HeadMask& head, const Parameters& parameters, uint64_t length);

}  // namespace damask::masks
