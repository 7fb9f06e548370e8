#include "policies/pyramid_choice.h"

#include <algorithm>

namespace damask::policies {

using kernels::kMaxPoolShift;

void PyramidChoice::Reset(const PlanRequest& request, size_t group, uint32_t own_window) {
  group_ = kernels::GroupBits(group);
  keys_.Reset(request, group, own_window);
  const uint64_t quarters = request.first_position / kPyramidBlock * kPyramidBlockQuarters;
  for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) {
    // Whole pages of them.
    pooled_[shift].assign(((quarters >> shift) + kPageQuarters - 1) / kPageQuarters * kPageQuarters, 0);
  }
}

void PyramidChoice::Add(uint64_t block, size_t shift, uint32_t heads) {
  const uint64_t begin = block * kPyramidBlockQuarters >> shift;
  const uint64_t end = (block + 1) * kPyramidBlockQuarters >> shift;
  if (shift == 0) return keys_.AddQuarters(begin, end, heads);
  for (uint64_t quarter = begin; quarter < end; ++quarter) pooled_[shift][quarter] |= heads;
}

void PyramidChoice::MakePlan(const PooledPages* pages, kernels::Plan* plan) {
  keys_.MakePlan(plan);
  std::array<SharedQuarters, kPageQuarters> shared;
  for (size_t shift = kMaxPoolShift; shift > 0; --shift) {
    if (pages != nullptr) plan->pooled_pages[shift] = pages->pages(shift);
    for (size_t quarter = 0; quarter < pooled_[shift].size(); quarter += kPageQuarters) {
      const size_t count = ShareQuarters(pooled_[shift].data() + quarter, group_, &shared);
      for (size_t i = 0; i < count; ++i) {
        plan->pooled.push_back(
            {static_cast<uint32_t>(quarter / kPageQuarters), shared[i].quarters, static_cast<uint8_t>(shift), shared[i].heads});
      }
    }
  }
}

}  // namespace damask::policies
