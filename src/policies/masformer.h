// MASFormer: full attention in a few layers, a short span in all others.
// Source: Zhang et al., Efficient Long-Range Transformers: You Need to Attend More, but Not Necessarily at Every Layer (arXiv
// 2310.12442). Which layers are full is ours to say: docs/policies/masformer.md.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo MasformerInfo();
Result<std::unique_ptr<Policy>> MakeMasformer(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
