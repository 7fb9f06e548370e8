// SnapKV: of a prompt the keys stay that its last rows look at, the same number in every layer.
// Source: Li et al., SnapKV: LLM Knows What You are Looking for Before Generation (arXiv 2404.14469).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo SnapKvInfo();
Result<std::unique_ptr<Policy>> MakeSnapKv(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
