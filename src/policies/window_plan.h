// Plans of sinks and a sliding window, for all heads of a group or for some: what streaming and spans have in common.
//
// A query sees the first `sinks` keys and the last `window` keys, itself included, and none behind the model's own window.
// Exact to the key with one exception: where the window's edge passes through the 16-key quarter in which the sinks end, the
// quarter is kept whole for all rows of the query block. Which rows these are follows from positions alone, so chunking and
// decoding change nothing. Sinks stay while all rows of a query block may see them in the model's own window.
#pragma once

#include <cstdint>

#include "policies/policy.h"

namespace damask::policies {

struct SinksAndWindow {
  uint64_t sinks = 0;
  uint64_t window = 1;      // at least 1
  uint32_t own_window = 0;  // the model's; 0: none
};

// Adds the plan of the heads in `heads` (bits, none of which the plan has yet). After the last of several calls the
// plan wants kernels::SortEntries and SortColumns.
void AppendSinksAndWindow(const PlanRequest& request, const SinksAndWindow& rule, uint32_t heads, kernels::Plan* plan);

// Whether no query at or after `position` gets a plan with this key block.
bool IsBehindWindow(const SinksAndWindow& rule, size_t block, uint64_t position);

}  // namespace damask::policies
