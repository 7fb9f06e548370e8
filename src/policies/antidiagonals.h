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
  // Scores the strided rows of all heads of a group: the keys are read once. Cost: 2 head_dim / stride flops a pair.
  void Make(const ModelShape& shape, const PlanRequest& request, const AntidiagonalGrid& grid);

  // Adds to blocks[b - grid.first_block] the attention that the strided rows of a head give to the strides of block b, within
  // the model's own window; of each head once. `blocks` goes as far as the request's rows.
  void AddHead(size_t head, std::vector<float>* blocks);

 private:
  void GatherRows(const QueryRows& queries, size_t head, size_t dim);

  Target target_ = Target::kScalar;
  AntidiagonalGrid grid_;
  uint64_t first_position_ = 0;  // of the request
  uint32_t own_window_ = 0;
  size_t head_rows_ = 0;       // strided rows of a head
  size_t strides_ = 0;         // of keys, from the grid's first block on
  std::vector<float> rows_;    // [head][strided rows][stride * head_dim]
  std::vector<float> scores_;  // [head][strided rows][strides]
  kernels::ScoresScratch keys_;
};

}  // namespace damask::policies
