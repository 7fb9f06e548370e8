#include "policies/tree_search.h"

#include <algorithm>

#include "policies/best.h"

namespace damask::policies {

std::span<const uint32_t> TreeSearch::Find(uint32_t begin, uint32_t end, uint32_t count, const Score& score) {
  const uint64_t length = end - begin;
  count = static_cast<uint32_t>(std::min<uint64_t>(count, length));
  nodes_.clear();
  for (uint64_t i = 0; i < count; ++i) {
    nodes_.push_back(
        {begin + static_cast<uint32_t>(i * length / count), begin + static_cast<uint32_t>((i + 1) * length / count)});
  }
  while (Split()) {
    scores_.resize(halves_.size());
    score(middles_, scores_.data());
    BestIndices(scores_, count, &best_);
    std::sort(best_.begin(), best_.end());
    nodes_.clear();
    for (const uint32_t index : best_) nodes_.push_back(halves_[index]);
  }
  found_.clear();
  for (const Node& node : nodes_) found_.push_back(node.begin);
  return found_;
}

bool TreeSearch::Split() {
  halves_.clear();
  middles_.clear();
  const auto add = [this](Node half) {
    halves_.push_back(half);
    middles_.push_back(half.begin + (half.end - half.begin) / 2);
  };
  bool wide = false;
  for (const Node& node : nodes_) {
    const uint32_t middle = node.begin + (node.end - node.begin) / 2;
    if (middle == node.begin) {
      add(node);  // a single block
      continue;
    }
    wide = true;
    add({node.begin, middle});
    add({middle, node.end});
  }
  return wide;
}

}  // namespace damask::policies
