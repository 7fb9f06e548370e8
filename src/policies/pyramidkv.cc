#include "policies/pyramidkv.h"

#include <utility>

#include "policies/prompt_eviction.h"

namespace damask::policies {

PolicyInfo PyramidKvInfo() {
  std::vector<OptionInfo> options = PromptEvictionOptions();
  options.front().help = "keys that a KV head keeps of a prompt on average over the layers, the last rows included";
  options.push_back({"taper", "20", "the last layer keeps this part of the average, the first as much more than it"});
  return {"pyramidkv",
          {},
          "As snapkv, with more keys in the first layers and fewer in the last ones.",
          "Cai et al., PyramidKV (arXiv 2406.02069)",
          std::move(options),
          "cap",
          "prefill=sparse,chunk=64"};
}

Result<std::unique_ptr<Policy>> MakePyramidKv(const Options& options, const ModelShape& shape) {
  DAMASK_ASSIGN_OR_RETURN(PromptEviction settings, ReadPromptEviction(options, "pyramidkv"));
  DAMASK_ASSIGN_OR_RETURN(settings.taper, options.Count("taper", 1, 1000));
  return MakePromptEviction(std::move(settings), shape);
}

}  // namespace damask::policies
