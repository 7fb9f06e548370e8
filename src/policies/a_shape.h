// A-shape: sinks and a local window in whole key blocks while a prompt is read; decoding sees everything.
// Source: Jiang et al., MInference 1.0 (arXiv 2407.02490), their A-shape pattern.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo AShapeInfo();
Result<std::unique_ptr<Policy>> MakeAShape(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
