// Attention sinks and a sliding window: a query sees the first `sinks` keys and the last `window` keys, itself included, exact
// to the key but for what window_plan.h says.
// Source: Xiao et al., Efficient Streaming Language Models with Attention Sinks (arXiv 2309.17453). Positions stay the true
// ones (the paper counts them within the cache).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo StreamingInfo();
Result<std::unique_ptr<Policy>> MakeStreaming(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
