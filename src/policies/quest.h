// Quest: for each query the pages whose keys may score highest, by a bound from every page's smallest and largest key.
// Source: Tang et al., Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference (arXiv 2406.10774).
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo QuestInfo();
Result<std::unique_ptr<Policy>> MakeQuest(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
