// PyramidKV: of a prompt the keys stay that its last rows look at, many in the first layers and few in the last ones.
// Source: Cai et al., PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling (arXiv 2406.02069).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo PyramidKvInfo();
Result<std::unique_ptr<Policy>> MakePyramidKv(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
