#include "policies/window_plan.h"

#include <algorithm>

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;
using kernels::kQueryBlockRows;
using kernels::LowestKey;

void AppendFull(const PlanRequest& request, uint32_t window, uint32_t heads, kernels::Plan* plan) {
  thread_local kernels::Plan full;
  kernels::FullPlan(request.first_position, request.rows, window, &full);
  for (kernels::PlanEntry& entry : full.entries) {
    entry.heads = heads;
    plan->entries.push_back(entry);
  }
}

// Of one key block: the quarters below `kept`, which every row sees, and those of the window.
void AppendBlock(const PlanRequest& request, uint64_t block, uint64_t kept, uint64_t window, uint32_t heads,
                 kernels::Plan* plan) {
  const uint64_t last = request.first_position + request.rows - 1;
  const uint64_t begin = block * kPageTokens;
  kernels::PlanEntry entry = kernels::BlockEntry(block, request.first_position, last, 0);
  entry.heads = heads;
  const uint8_t always = kept > begin ? kernels::QuartersBetween(block, 0, std::min(last, kept - 1)) : uint8_t{0};
  const uint64_t lowest = LowestKey(request.first_position, window);
  const auto in_window = static_cast<uint8_t>(kernels::QuartersBetween(block, lowest, last) & ~always);
  const bool window_edge = begin + window <= last;  // some row has lost the block's first key
  entry.quarters = window_edge ? always : static_cast<uint8_t>(always | in_window);
  if (entry.quarters != 0) plan->entries.push_back(entry);
  if (!window_edge || in_window == 0) return;
  entry.quarters = in_window;
  entry.window = static_cast<uint32_t>(window);  // at most `last`
  plan->entries.push_back(entry);
}

}  // namespace

void AppendSinksAndWindow(const PlanRequest& request, const SinksAndWindow& rule, uint32_t heads, kernels::Plan* plan) {
  if (rule.own_window != 0 && rule.own_window <= rule.window) {
    AppendFull(request, rule.own_window, heads, plan);
    return;
  }
  const uint64_t block_first = request.first_position / kQueryBlockRows * kQueryBlockRows;
  const bool sinks_visible = rule.own_window == 0 || block_first + kQueryBlockRows <= rule.own_window;
  const uint64_t sinks = sinks_visible ? rule.sinks : 0;
  const uint64_t last = request.first_position + request.rows - 1;
  const uint64_t window_block = LowestKey(request.first_position, rule.window) / kPageTokens;
  // Keys [0, kept) go to every row in whole quarters; a rest of sinks in a quarter that the window has left, as columns.
  uint64_t kept = sinks / kQuarterTokens * kQuarterTokens;
  if (kept < sinks && LowestKey(block_first, rule.window) < kept + kQuarterTokens) kept += kQuarterTokens;
  for (uint64_t block = 0; block <= last / kPageTokens; ++block) {
    if (block >= window_block || block * kPageTokens < kept) AppendBlock(request, block, kept, rule.window, heads, plan);
    if ((block + 1) * kPageTokens >= kept) block = std::max(block + 1, window_block) - 1;  // nothing between sinks and window
  }
  for (uint64_t position = kept; position < sinks && position <= last; ++position) {
    plan->columns.push_back({static_cast<uint32_t>(position), heads});
  }
}

bool IsBehindWindow(const SinksAndWindow& rule, size_t block, uint64_t position) {
  if (kernels::IsBehindWindow(block, position, rule.own_window)) return true;
  const uint64_t sinks_end = (rule.sinks + kQuarterTokens - 1) / kQuarterTokens * kQuarterTokens;
  return block * kPageTokens >= sinks_end && kernels::IsBehindWindow(block, position, rule.window);
}

}  // namespace damask::policies
