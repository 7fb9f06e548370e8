// H2O: a fixed number of keys stays in sight, those that got the most attention so far and the latest ones; what has been
// dropped never comes back.
// Source: Zhang et al., H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models (arXiv
// 2306.14048). How it is done while a prompt is read in chunks: docs/policies/h2o.md.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo H2oInfo();
Result<std::unique_ptr<Policy>> MakeH2o(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
