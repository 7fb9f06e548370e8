// DAM: per-head masks from calibration, drawn out to any length (masks/compile.h). The mask comes from a file; heads are
// treated as it says: static heads by their pattern, dense heads by the full plan, content heads by key blocks that they choose
// at run time (content_keys.h). Source: DAM: Dynamic Attention Mask for Long-Context Large Language Model Inference
// Acceleration (arXiv 2506.11104).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "masks/compile.h"
#include "masks/mask.h"
#include "policies/content_keys.h"
#include "policies/registry.h"

namespace damask::policies {

PolicyInfo DamInfo();
// InvalidArgument where the mask is of another shape than the model, BadFormat where its key directions are; the errors of
// masks::ReadMaskFile.
Result<std::unique_ptr<Policy>> MakeDam(const Options& options, const ModelShape& shape);

// The same for a mask that is in memory (calibration tries masks before it writes them). `name` is what Spec() calls it.
struct DamOptions {
  masks::PlanMode mode = masks::PlanMode::kBlocks;
  std::optional<uint32_t> blocks;  // most quarters of content heads; without it the mask's
  ContentOptions content;          // MakeDam sets its sinks and max_quarters
};
Result<std::unique_ptr<Policy>> MakeDam(masks::Mask mask, const std::string& name, const DamOptions& options,
                                        const ModelShape& shape);

}  // namespace damask::policies
