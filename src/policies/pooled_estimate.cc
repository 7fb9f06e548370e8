#include "policies/pooled_estimate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace damask::policies {
namespace {

constexpr size_t kShift = kernels::kMaxPoolShift;
constexpr uint64_t kBlockSlots = kPyramidBlock >> kShift;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

}  // namespace

void PooledEstimate::Make(const ModelShape& shape, const PlanRequest& request, const PooledPages& pages, uint64_t first_block,
                          uint64_t end_block) {
  const uint64_t first = first_block * kBlockSlots;
  width_ = (end_block - first_block) * kBlockSlots;
  const size_t dim = shape.head_dim;
  const size_t group = shape.group();
  scores_.resize(group * width_);
  kernels::Scores(shape.target, pages.layout(), pages.pages(kShift), first, first + width_, request.queries.row(0, 0, dim), dim,
                  group, 1.0f / std::sqrt(static_cast<float>(dim)), scores_.data(), width_, &keys_);
  const uint64_t lowest = kernels::LowestKey(request.first_position, shape.window(request.layer)) >> kShift;
  const size_t hidden = std::min<uint64_t>(width_, lowest - std::min(lowest, first));
  for (size_t head = 0; head < group; ++head) {
    float* const scores = scores_.data() + head * width_;
    std::fill_n(scores, hidden, kNothing);
    for (uint64_t block = first_block; block < end_block; ++block) {
      if (!PyramidBlockReleased(request.keys, block)) continue;
      std::fill_n(scores + (block - first_block) * kBlockSlots, kBlockSlots, kNothing);
    }
    kernels::Softmax(shape.target, scores, width_);
  }
}

void PooledEstimate::AddHead(size_t head, std::vector<float>* blocks) const {
  const float* const probabilities = scores_.data() + head * width_;
  for (size_t slot = 0; slot < width_; ++slot) (*blocks)[slot / kBlockSlots] += probabilities[slot];
}

}  // namespace damask::policies
