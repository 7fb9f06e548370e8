// Attention of key blocks for one row, estimated from the coarsest level of the pyramid: a sixteenth of the cache is read.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/scores.h"
#include "policies/pooled_pages.h"

namespace damask::policies {

// Memory is kept between uses.
class PooledEstimate {
 public:
  // Probabilities of the request's first row, for all heads, over the pooled keys of key blocks [first_block, end_block) that
  // it may see; nothing of blocks on released pages. Cost: head_dim / 4 flops a key and head in float32.
  void Make(const ModelShape& shape, const PlanRequest& request, const PooledPages& pages, uint64_t first_block,
            uint64_t end_block);
  // Adds a head's to blocks[b - first_block].
  void AddHead(size_t head, std::vector<float>* blocks) const;

 private:
  std::vector<float> scores_;  // [head][pooled key]
  size_t width_ = 0;
  kernels::ScoresScratch keys_;
};

}  // namespace damask::policies
