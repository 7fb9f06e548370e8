// Plans of policies that choose 16-key quarters, and single keys, for each head of a group.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "policies/policy.h"

namespace damask::policies {

inline constexpr size_t kPageQuarters = kernels::kPageTokens / kernels::kQuarterTokens;

// Quarters of a page that the same heads compute, as an entry of a plan has them.
struct SharedQuarters {
  uint32_t heads = 0;
  uint8_t quarters = 0;
};
// heads[q] compute quarter q. In the order of first quarters; where the whole group is meant the plan says so (kAllHeads).
// Returns how many there are.
size_t ShareQuarters(const uint32_t* heads, uint32_t group_bits, std::array<SharedQuarters, kPageQuarters>* shared);

// The first single key that a plan with row `row` may have: all rows of the query block (kernels::kQueryBlockRows, aligned) see
// it in the model's own window (0: none).
inline uint64_t LowestSingleKey(uint64_t row, uint32_t own_window) {
  const uint64_t block_first = row / kernels::kQueryBlockRows * kernels::kQueryBlockRows;
  return kernels::LowestKey(block_first + kernels::kQueryBlockRows - 1, own_window);
}

// What the heads of one group compute for one query block. Memory is kept between uses.
class QuarterChoice {
 public:
  // Nothing is chosen. Quarter and key numbers count from position 0; keys from request.first_position + request.rows on are
  // never planned, none behind the model's own window (0: none), and none of released pages. `group` is the number of heads.
  void Reset(const PlanRequest& request, size_t group, uint32_t own_window);

  // `heads` are bits of the group. Quarters past the end are ignored.
  void AddQuarter(uint64_t quarter, uint32_t heads);
  void AddQuarters(uint64_t begin, uint64_t end, uint32_t heads);
  // Left out below LowestSingleKey.
  void AddKey(uint64_t position, uint32_t heads);

  // Whether one of `heads` computes it.
  bool Chosen(uint64_t quarter, uint32_t heads) const { return (quarters_[quarter] & heads) != 0; }
  // The first quarter that some row may see.
  uint64_t begin_quarter() const { return begin_; }

  // Overwrites `plan`. Keys in chosen quarters are not planned twice; sixteen single keys of one quarter become the quarter.
  void MakePlan(kernels::Plan* plan);

 private:
  bool Released(uint64_t block) const { return pages_ != nullptr && pages_[block] == nullptr; }
  void PromoteFullQuarters();
  void AddBlock(uint64_t block, kernels::Plan* plan) const;

  uint32_t group_ = 0;  // a bit for each head
  const std::byte* const* pages_ = nullptr;
  uint64_t first_ = 0;
  uint64_t last_ = 0;
  uint32_t own_window_ = 0;
  uint64_t begin_ = 0;
  std::vector<uint32_t> quarters_;  // [quarter] heads that compute it
  std::vector<kernels::PlanColumn> keys_;
};

}  // namespace damask::policies
