#include "policies/pyramid_levels.h"

#include <algorithm>
#include <cmath>

#include "policies/pooled_pages.h"

namespace damask::policies {

LevelEnds MovingEnds::At(double factor) const {
  LevelEnds ends = {};
  for (size_t s = 0; s < kPyramidLevels; ++s) {
    // Shares are decimal: a tenth of 30 is 3.
    const double rank = std::floor(ranks[s] * factor + 1e-9);
    const double last = static_cast<double>(taken + count);
    ends[s] = static_cast<size_t>(std::clamp(rank, static_cast<double>(taken), last)) - taken;
  }
  return ends;
}

double MovingEnds::Most() const {
  double most = 0;
  for (const double rank : ranks) {
    if (rank > 0) most = std::max(most, static_cast<double>(taken + count + 1) / rank);
  }
  return most;
}

LevelEnds EndsByEnergy(const LevelShares& shares, std::span<const float> scores, double held, double total) {
  LevelEnds ends = {};
  for (const float score : scores) {
    for (size_t s = 0; s < kPyramidLevels; ++s) {
      if (shares[s] >= 1 || held < shares[s] * total) ++ends[s];
    }
    held += static_cast<double>(score);
  }
  return ends;
}

void LevelCosts::Reset(std::span<const uint8_t> caps) {
  for (size_t s = 0; s < kPyramidLevels; ++s) {
    sums_[s].assign(1, 0);
    for (const uint8_t cap : caps) sums_[s].push_back(sums_[s].back() + (kPyramidBlock >> std::min<size_t>(s, cap)));
  }
}

uint64_t LevelCosts::Cost(const LevelEnds& ends) const {
  uint64_t cost = 0;
  size_t begin = 0;
  for (size_t s = 0; s < kPyramidLevels; ++s) {
    cost += sums_[s][ends[s]] - sums_[s][begin];
    begin = ends[s];
  }
  return cost;
}

LevelEnds LevelCosts::Fit(const MovingEnds& moving, double most, uint64_t room) const {
  LevelEnds above = moving.At(most);
  if (Cost(above) <= room) return above;
  double low = 0;
  double high = most;
  // A factor decides between thousands of blocks: 40 halvings tell any two moves apart.
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    (Cost(moving.At(middle)) <= room ? low : high) = middle;
  }
  LevelEnds ends = moving.At(low);
  above = moving.At(high);
  for (size_t s = kPyramidLevels; s-- > 0;) {
    LevelEnds wider = ends;
    wider[s] = s + 1 < kPyramidLevels ? std::min(above[s], ends[s + 1]) : above[s];
    if (Cost(wider) <= room) ends = wider;
  }
  return ends;
}

}  // namespace damask::policies
