// Attention sinks and a sliding window: a query sees the first `sinks` keys and the last `window` keys, itself included.
// Source: Xiao et al., Efficient Streaming Language Models with Attention Sinks (arXiv 2309.17453). Positions stay the true
// ones (the paper counts them within the cache).
//
// Exact to the key with one exception: where the window's edge passes through the 16-key quarter in which the sinks end, the
// quarter is kept whole for all rows of the query block. Which rows these are follows from positions alone, so chunking and
// decoding change nothing.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo StreamingInfo();
Result<std::unique_ptr<Policy>> MakeStreaming(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
