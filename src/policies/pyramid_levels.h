// Which key blocks of a row get which level of the pyramid: bands of their ranks, and how the bands fill a budget.
// Source: Pyramid Sparse Attention (arXiv 2512.04025); ziplab/Pyramid-Sparse-Attention.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/plan.h"

namespace damask::policies {

// Level `shift` computes means of 1 << shift keys; level 0 the keys themselves.
inline constexpr size_t kPyramidLevels = kernels::kMaxPoolShift + 1;

// Where the bands of the levels end, finest first, each as a share of the whole. What lies behind the last one is skipped.
using LevelShares = std::array<double, kPyramidLevels>;
// The same among candidates in the order of their importance: those before ends[s], and not before ends[s - 1], get level s.
using LevelEnds = std::array<size_t, kPyramidLevels>;

// Ends that move together. Level s ends at rank ranks[s] * factor; the first `taken` ranks belong to blocks that are no
// candidates, and behind them come `count` candidates.
struct MovingEnds {
  LevelShares ranks = {};
  size_t taken = 0;
  size_t count = 0;

  LevelEnds At(double factor) const;
  // From here on no end moves any more.
  double Most() const;
};

// Ends by the share of the estimate that better blocks hold already: a band ends with the block that reaches its share.
//   scores  of the candidates, best first
//   held    by what is there anyway; `total` with all of them
LevelEnds EndsByEnergy(const LevelShares& shares, std::span<const float> scores, double held, double total);

// What the candidates cost, in keys. Memory is kept between uses.
class LevelCosts {
 public:
  // caps[rank]: the coarsest level that the candidate of this rank may have.
  void Reset(std::span<const uint8_t> caps);
  uint64_t Cost(const LevelEnds& ends) const;
  // The ends of the largest factor up to `most` that cost at most `room` keys. Where several ends would move at once and there
  // is not room for all of them, the coarsest move first.
  LevelEnds Fit(const MovingEnds& moving, double most, uint64_t room) const;

 private:
  std::array<std::vector<uint64_t>, kPyramidLevels> sums_;  // [level][n]: cost of the first n candidates at that level
};

}  // namespace damask::policies
