// CItruS: while a document is read, each chunk or an instruction decides which earlier keys stay.
// Source: Bai et al., CItruS: Chunked Instruction-aware State Eviction for Long Sequence Modeling (arXiv 2406.12018).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo CitrusInfo();
Result<std::unique_ptr<Policy>> MakeCitrus(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
