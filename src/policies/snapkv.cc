#include "policies/snapkv.h"

#include <utility>

#include "policies/prompt_eviction.h"

namespace damask::policies {

PolicyInfo SnapKvInfo() {
  return {"snapkv",
          {},
          "Of a prompt the keys stay that its last rows look at; the others are dropped before the answer begins.",
          "Li et al., SnapKV (arXiv 2404.14469)",
          PromptEvictionOptions(),
          "cap",
          "prefill=sparse,chunk=64"};
}

Result<std::unique_ptr<Policy>> MakeSnapKv(const Options& options, const ModelShape& shape) {
  DAMASK_ASSIGN_OR_RETURN(PromptEviction settings, ReadPromptEviction(options, "snapkv"));
  return MakePromptEviction(std::move(settings), shape);
}

}  // namespace damask::policies
