#include "policies/quarter_plan.h"

#include <algorithm>

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;

uint32_t PlanHeads(uint32_t heads, uint32_t group_bits) {
  return (heads & group_bits) == group_bits ? kernels::kAllHeads : heads & group_bits;
}

}  // namespace

size_t ShareQuarters(const uint32_t* heads, uint32_t group_bits, std::array<SharedQuarters, kPageQuarters>* shared) {
  size_t count = 0;
  for (size_t q = 0; q < kPageQuarters; ++q) {
    if ((heads[q] & group_bits) == 0) continue;
    const uint32_t same = PlanHeads(heads[q], group_bits);
    size_t i = 0;
    while (i < count && (*shared)[i].heads != same) ++i;
    if (i == count) (*shared)[count++] = {same, 0};
    (*shared)[i].quarters = static_cast<uint8_t>((*shared)[i].quarters | 1u << q);
  }
  return count;
}

void QuarterChoice::Reset(const PlanRequest& request, size_t group, uint32_t own_window) {
  group_ = kernels::GroupBits(group);
  pages_ = request.keys.pages;
  first_ = request.first_position;
  last_ = first_ + request.rows - 1;
  own_window_ = own_window;
  begin_ = kernels::LowestKey(first_, own_window) / kQuarterTokens;
  quarters_.assign(last_ / kQuarterTokens + 1, 0);
  keys_.clear();
}

void QuarterChoice::AddQuarter(uint64_t quarter, uint32_t heads) {
  if (quarter >= begin_ && quarter < quarters_.size()) quarters_[quarter] |= heads;
}

void QuarterChoice::AddQuarters(uint64_t begin, uint64_t end, uint32_t heads) {
  end = std::min<uint64_t>(end, quarters_.size());
  for (uint64_t quarter = std::max(begin, begin_); quarter < end; ++quarter) quarters_[quarter] |= heads;
}

void QuarterChoice::AddKey(uint64_t position, uint32_t heads) {
  if (position > last_ || position < LowestSingleKey(first_, own_window_)) return;
  keys_.push_back({static_cast<uint32_t>(position), heads});
}

void QuarterChoice::PromoteFullQuarters() {
  for (size_t i = 0; i + kQuarterTokens <= keys_.size(); ++i) {
    const uint64_t position = keys_[i].position;
    if (position % kQuarterTokens != 0 || keys_[i + kQuarterTokens - 1].position != position + kQuarterTokens - 1) continue;
    uint32_t heads = kernels::kAllHeads;
    for (size_t k = 0; k < kQuarterTokens; ++k) heads &= keys_[i + k].heads;
    quarters_[position / kQuarterTokens] |= heads;
  }
}

// One entry for the quarters that the same heads compute.
void QuarterChoice::AddBlock(uint64_t block, kernels::Plan* plan) const {
  if (Released(block)) return;
  uint32_t heads[kPageQuarters] = {};
  for (uint64_t q = 0; q < kPageQuarters && block * kPageQuarters + q < quarters_.size(); ++q) {
    heads[q] = quarters_[block * kPageQuarters + q];
  }
  kernels::PlanEntry entry = kernels::BlockEntry(block, first_, last_, own_window_);
  std::array<SharedQuarters, kPageQuarters> shared;
  const size_t count = ShareQuarters(heads, group_, &shared);
  for (size_t i = 0; i < count; ++i) {
    entry.heads = shared[i].heads;
    entry.quarters = shared[i].quarters;
    plan->entries.push_back(entry);
  }
}

void QuarterChoice::MakePlan(kernels::Plan* plan) {
  plan->Clear();
  kernels::SortColumns(&keys_);
  PromoteFullQuarters();
  for (const kernels::PlanColumn& key : keys_) {
    const uint32_t heads = key.heads & group_ & ~quarters_[key.position / kQuarterTokens];
    if (heads != 0 && !Released(key.position / kPageTokens)) plan->columns.push_back({key.position, PlanHeads(heads, group_)});
  }
  for (uint64_t block = begin_ / kPageQuarters; block * kPageQuarters < quarters_.size(); ++block) AddBlock(block, plan);
}

}  // namespace damask::policies
