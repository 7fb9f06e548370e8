// The model of an evaluation, with a context that its texts fit.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "cli/command.h"
#include "cli/model_flags.h"

namespace damask::cli {

// Without -c the context is the model's, or the longest of `contexts` where that is longer, with a warning. Empty `contexts`
// become one of 4096, or of the model's context where that is shorter.
Result<std::unique_ptr<engine::Engine>> LoadEvalEngine(ModelFlags flags, const CommonFlags& common,
                                                       std::vector<uint64_t>* contexts);

}  // namespace damask::cli
