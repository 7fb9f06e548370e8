// Attention of key blocks, estimated by the sums of antidiagonals.
// Source: Xu et al., XAttention: Block Sparse Attention with Antidiagonal Scoring (arXiv 2503.16428); mit-han-lab/x-attention.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/scores.h"
#include "policies/policy.h"

namespace damask::policies {

// What is estimated: attention of blocks of `block` keys, from `first_block` on, by antidiagonals of `stride` queries and keys.
// stride divides block and kernels::kPageTokens.
struct AntidiagonalGrid {
  uint64_t stride = 0;
  uint64_t block = 0;
  uint64_t first_block = 0;
};

// Memory is kept between uses.
class AntidiagonalEstimate {
 public:
  // Adds to blocks[b - grid.first_block] the attention that the strided rows of a head give to the strides of block b, within
  // the model's own window. `blocks` goes as far as the request's rows. Cost: 2 head_dim / stride flops a pair in float32.
  void AddHead(const ModelShape& shape, const PlanRequest& request, size_t head, const AntidiagonalGrid& grid,
               std::vector<float>* blocks);

 private:
  void GatherRows(const QueryRows& queries, size_t head, size_t dim, uint64_t stride);

  std::vector<float> rows_;    // [strided rows][stride * head_dim]
  std::vector<float> scores_;  // [strided rows][strides]
  kernels::ScoresScratch keys_;
};

}  // namespace damask::policies
