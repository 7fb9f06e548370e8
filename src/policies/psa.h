// Pyramid sparse attention: key blocks that matter less are not left out but computed at a coarser level, as means of 2, 4 or 8
// keys and values.
// Source: Pyramid Sparse Attention (arXiv 2512.04025); ziplab/Pyramid-Sparse-Attention.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo PsaInfo();
Result<std::unique_ptr<Policy>> MakePsa(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
