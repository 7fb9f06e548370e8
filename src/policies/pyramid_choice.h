// Plans of a policy that computes key blocks at several levels of the pyramid.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "policies/pooled_pages.h"
#include "policies/quarter_plan.h"

namespace damask::policies {

// What the heads of one group compute for one query block. Memory is kept between uses.
class PyramidChoice {
 public:
  // Nothing is chosen. Only blocks before that of the rows can be pooled, and only ones that every row sees whole.
  void Reset(const PlanRequest& request, size_t group, uint32_t own_window);

  // A key block at level `shift`; 0: the keys themselves. `heads` are bits of the group that have not got this block yet.
  void Add(uint64_t block, size_t shift, uint32_t heads);
  // Quarters of the cache by themselves.
  void AddQuarters(uint64_t begin, uint64_t end, uint32_t heads) { keys_.AddQuarters(begin, end, heads); }

  // Overwrites `plan`. `pages` is theirs who run the plan, too; null where only the shape of a plan is wanted.
  void MakePlan(const PooledPages* pages, kernels::Plan* plan);

 private:
  uint32_t group_ = 0;
  QuarterChoice keys_;
  std::array<std::vector<uint32_t>, kernels::kMaxPoolShift + 1> pooled_;  // [shift][quarter]: heads; of shift 0 nothing
};

}  // namespace damask::policies
