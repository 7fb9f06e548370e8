// Attention over pooled keys (InfLLM-V2): what overlapping kernels of 32 keys get from the rows and heads of a query block.
#pragma once

#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "kernels/scores.h"
#include "policies/key_summaries.h"

namespace damask::policies {

// Kernel c is the mean of keys [16 c, 16 c + 32). It is half the sum of two means of 16 keys, and so is its score: only the
// means are kept, 1/32 of the cache.
class KernelScores {
 public:
  // means: of 16 keys. Adds up softmax probabilities over the kernels that a row sees whole, and within the model's own window
  // (0: none); rows that see none add nothing. Cost: head_dim / 8 flops a row, head and key.
  void Make(Target target, const KeySummary& means, const QueryRows& queries, size_t group, uint32_t own_window);

  // blocks[b - first_block] for blocks [first_block, last_block]: the largest sum of a kernel that overlaps the block; 0 where
  // there is none.
  void Pool(uint64_t block_keys, uint64_t first_block, uint64_t last_block, std::vector<float>* blocks) const;

  // Of kernels [first(), first() + sums().size()).
  uint64_t first() const { return first_; }
  const std::vector<float>& sums() const { return sums_; }

 private:
  void AddRow(Target target, uint64_t position, uint32_t own_window, float* scores);

  uint64_t first_ = 0;
  std::vector<float> sums_;
  std::vector<float> scores_;  // [rows][means]
  kernels::ScoresScratch keys_;
};

}  // namespace damask::policies
