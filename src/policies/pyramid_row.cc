#include "policies/pyramid_row.h"

#include <algorithm>

namespace damask::policies {
namespace {

using kernels::kAllHeads;
using kernels::kQuarterTokens;

constexpr uint64_t kNoLimit = ~uint64_t{0};

uint64_t Minus(uint64_t a, uint64_t b) { return a - std::min(a, b); }

}  // namespace

void PyramidRow::Reset(const PlanRequest& request, const ModelShape& shape, const PyramidSettings& settings,
                       const LevelCaps* caps, uint8_t unknown_cap, PyramidChoice* choice) {
  const uint32_t window = shape.window(request.layer);
  choice->Reset(request, shape.group(), window);
  first_ = kernels::LowestKey(request.first_position, window) / kPyramidBlock;
  own_ = request.first_position / kPyramidBlock;
  Force(request, settings, choice);
  // What the last row sees, all rows see.
  const uint64_t whole = kernels::LowestKey(request.first_position + request.rows - 1, window);
  candidates_.clear();
  caps_.clear();
  for (uint64_t block = begin_; block < end_; ++block) {
    if (request.keys.pages != nullptr && PyramidBlockReleased(request.keys, block)) continue;
    candidates_.push_back(static_cast<uint32_t>(block));
    caps_.push_back(block * kPyramidBlock < whole ? uint8_t{0} : caps == nullptr ? unknown_cap : caps->shift(block));
  }
}

void PyramidRow::Force(const PlanRequest& request, const PyramidSettings& settings, PyramidChoice* choice) {
  const uint64_t local = settings.budget == 0 ? (settings.local + kPyramidBlock - 1) / kPyramidBlock
                                              : std::min(settings.local, settings.budget / 4) / kPyramidBlock;
  end_ = std::max(first_, Minus(own_, local));
  choice->AddQuarters(end_ * kPyramidBlockQuarters, (own_ + 1) * kPyramidBlockQuarters, kAllHeads);
  forced_ = own_ - end_ + 1;
  const uint64_t cost = request.first_position + request.rows - end_ * kPyramidBlock;
  room_ = settings.budget == 0 ? kNoLimit : Minus(settings.budget, cost);
  begin_ = first_;
  if (first_ != 0 || end_ == 0) return;
  const uint64_t quarters = std::clamp<uint64_t>(room_ / kQuarterTokens, 1, kPyramidBlockQuarters);
  choice->AddQuarters(0, quarters, kAllHeads);
  ++forced_;
  ++begin_;
  if (room_ != kNoLimit) room_ = Minus(room_, quarters * kQuarterTokens);
}

}  // namespace damask::policies
