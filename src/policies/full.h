// Full attention: every key that the model itself lets a query see.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo FullInfo();
Result<std::unique_ptr<Policy>> MakeFull(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
