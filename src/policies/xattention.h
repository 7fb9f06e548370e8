// XAttention: for each head the key blocks that hold most of the attention, estimated by the sums of antidiagonals.
// Source: Xu et al., XAttention: Block Sparse Attention with Antidiagonal Scoring (arXiv 2503.16428); mit-han-lab/x-attention.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo XattentionInfo();
Result<std::unique_ptr<Policy>> MakeXattention(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
