#include "policies/kernel_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;

constexpr uint64_t kKernelKeys = 2 * kQuarterTokens;

// Kernels that end at or before a row.
uint64_t Visible(uint64_t position) {
  return position + 1 < kKernelKeys ? 0 : (position + 1 - kKernelKeys) / kQuarterTokens + 1;
}

}  // namespace

void KernelScores::Make(Target target, const KeySummary& means, const QueryRows& queries, size_t group, uint32_t own_window) {
  const size_t dim = means.layout().head_dim;
  const uint64_t lowest = kernels::LowestKey(queries.first_position, own_window) / kQuarterTokens;
  first_ = lowest / kQuarterTokens * kQuarterTokens;  // Scores begins at multiples of 16 means
  const uint64_t end = Visible(queries.first_position + queries.rows - 1);
  sums_.assign(end - std::min(end, first_), 0.0f);
  if (sums_.empty()) return;
  const size_t stride = sums_.size() + 1;  // a mean more than kernels
  scores_.resize(queries.rows * stride);
  const float scale = 0.5f / std::sqrt(static_cast<float>(dim));
  for (size_t head = 0; head < group; ++head) {
    kernels::Scores(target, means.layout(), means.pages(), first_, end + 1, queries.row(0, head, dim), queries.stride,
                    queries.rows, scale, scores_.data(), stride, &keys_);
    for (size_t row = 0; row < queries.rows; ++row) {
      AddRow(target, queries.first_position + row, own_window, scores_.data() + row * stride);
    }
  }
}

void KernelScores::AddRow(Target target, uint64_t position, uint32_t own_window, float* scores) {
  const uint64_t visible = Visible(position);
  if (visible <= first_) return;
  const size_t count = visible - first_;
  for (size_t c = 0; c < count; ++c) scores[c] += scores[c + 1];
  const uint64_t whole = (kernels::LowestKey(position, own_window) + kQuarterTokens - 1) / kQuarterTokens;
  if (whole > first_) std::fill_n(scores, std::min<uint64_t>(whole - first_, count), -std::numeric_limits<float>::infinity());
  kernels::Softmax(target, scores, count);
  for (size_t c = 0; c < count; ++c) sums_[c] += scores[c];
}

void KernelScores::Pool(uint64_t block_keys, uint64_t first_block, uint64_t last_block, std::vector<float>* blocks) const {
  const uint64_t per_block = block_keys / kQuarterTokens;
  const uint64_t end = first_ + sums_.size();
  blocks->assign(last_block - first_block + 1, 0.0f);
  for (uint64_t block = first_block; block <= last_block; ++block) {
    // The kernel before a block's first reaches into it.
    const uint64_t begin = std::max(first_, block * per_block - std::min<uint64_t>(1, block * per_block));
    float& best = (*blocks)[block - first_block];
    for (uint64_t c = begin; c < std::min(end, (block + 1) * per_block); ++c) best = std::max(best, sums_[c - first_]);
  }
}

}  // namespace damask::policies
