// How coarse the means of a key block may be: as coarse as its keys are alike.
// Source: Pyramid Sparse Attention (arXiv 2512.04025); ziplab/Pyramid-Sparse-Attention.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "policies/policy.h"
#include "policies/pooled_pages.h"

namespace damask::policies {

// The mean cosine that lets a key block be pooled by 2, 4 and 8 keys: between the first and the last key of every so many.
using LikenessThresholds = std::array<double, kernels::kMaxPoolShift>;

// Of one KV head of one layer, one byte a key block.
class LevelCaps {
 public:
  // Takes in the key blocks that [first, end) completes; those with a released page may not be pooled.
  void Append(const KeyPages& keys, const LikenessThresholds& thresholds, uint64_t first, uint64_t end);
  void Truncate(uint64_t length);

  // The largest shift whose threshold is passed, whatever the finer ones say; 0: none is.
  uint8_t shift(uint64_t block) const { return shifts_[block]; }
  uint64_t bytes() const { return shifts_.capacity(); }

 private:
  uint8_t Measure(const KeyPages& keys, const LikenessThresholds& thresholds, uint64_t block);

  std::vector<uint8_t> shifts_;
  std::vector<float> keys_;  // scratch [kPyramidBlock][head_dim]
};

}  // namespace damask::policies
