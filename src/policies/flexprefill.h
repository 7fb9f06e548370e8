// FlexPrefill: each head finds out whether pooled queries and keys tell where its attention goes. Where they do, blocks are
// chosen by them; where not, columns and diagonals.
// Source: Lai et al., FlexPrefill: A Context-Aware Sparse Attention Mechanism (arXiv 2502.20766); ByteDance-Seed/FlexPrefill.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo FlexprefillInfo();
Result<std::unique_ptr<Policy>> MakeFlexprefill(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
