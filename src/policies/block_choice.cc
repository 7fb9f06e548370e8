#include "policies/block_choice.h"

#include <algorithm>

#include "policies/best.h"

namespace damask::policies {

using kernels::kPageTokens;
using kernels::kQuarterTokens;

Result<uint64_t> BlockOption(const Options& options) {
  DAMASK_ASSIGN_OR_RETURN(const bool large, options.Either("block", "16", "64"));
  return large ? kPageTokens : kQuarterTokens;
}

BlockShare BlockShare::Within(uint64_t budget, uint64_t block_keys) const {
  const uint64_t blocks = budget / block_keys;
  return {blocks, std::min(sinks, std::max<uint64_t>(1, blocks / 8)), std::min(local, blocks / 4)};
}

void BlockChoice::Reset(const PlanRequest& request, size_t group, uint32_t own_window, uint64_t block_keys, uint64_t sinks,
                        uint64_t local_begin) {
  choice_.Reset(request, group, own_window);
  quarters_ = block_keys / kQuarterTokens;
  last_ = (request.first_position + request.rows - 1) / block_keys;
  local_begin = std::min(local_begin, request.first_position / block_keys);  // the rows see themselves
  forced_ = 0;
  candidates_.clear();
  for (uint64_t block = begin_block(); block <= last_; ++block) {
    if (block < sinks || block >= local_begin) {
      Add(block, kernels::kAllHeads);
      ++forced_;
    } else if (request.keys.pages == nullptr || request.keys.pages[block * block_keys / kPageTokens] != nullptr) {
      candidates_.push_back(static_cast<uint32_t>(block));
    }
  }
}

void BlockChoice::Reset(const PlanRequest& request, size_t group, uint32_t own_window, uint64_t block_keys,
                        const BlockShare& share) {
  const uint64_t diagonal = request.first_position / block_keys;
  Reset(request, group, own_window, block_keys, share.sinks, diagonal - std::min(diagonal, share.local));
}

size_t BlockChoice::Room(const BlockShare& share) const {
  return std::min<uint64_t>(candidates_.size(), share.total - std::min(share.total, forced_));
}

std::span<const uint32_t> BlockChoice::Best(std::span<const float> scores, uint64_t first, size_t count) {
  scores_.clear();
  for (const uint32_t block : candidates_) scores_.push_back(scores[block - first]);
  BestIndices(scores_, count, &best_);
  for (uint32_t& index : best_) index = candidates_[index];
  return best_;
}

void BlockChoice::AddLatest(size_t count, uint32_t heads) {
  for (size_t i = candidates_.size() - std::min(count, candidates_.size()); i < candidates_.size(); ++i) {
    Add(candidates_[i], heads);
  }
}

}  // namespace damask::policies
