// HiP: for each head the blocks of keys that a tree search finds, about log(length) looks at real keys for each.
// Source: Lee et al., A Training-free Sub-quadratic Cost Transformer Model Serving Framework with Hierarchically Pruned
// Attention (arXiv 2406.09827).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo HipInfo();
Result<std::unique_ptr<Policy>> MakeHip(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
