// DuoAttention: heads that retrieve see everything, the others the first keys and a window.
// Source: Xiao et al., DuoAttention: Efficient Long-Context LLM Inference with Retrieval and Streaming Heads (arXiv
// 2410.10819).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo DuoInfo();
Result<std::unique_ptr<Policy>> MakeDuo(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
