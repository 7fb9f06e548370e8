// Vertical-slash: for each head the keys (verticals) and the distances (slashes) that hold most of the attention, estimated
// from some rows while the prompt is read.
// Source: Jiang et al., MInference 1.0 (arXiv 2407.02490). The paper estimates once, from the last 64 rows of the whole prompt;
// here, where a prompt is read in chunks, every query block estimates from rows of its own (docs/policies/vertical-slash.md).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo VerticalSlashInfo();
Result<std::unique_ptr<Policy>> MakeVerticalSlash(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
