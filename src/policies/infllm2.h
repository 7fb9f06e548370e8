// InfLLM-V2: for each group of heads the key blocks whose pooled keys get the most attention; dense below a length.
// Source: InfLLM-V2: Dense-Sparse Switchable Attention (arXiv 2509.24663); OpenBMB/infllmv2_cuda_impl.
#pragma once

#include <memory>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo Infllm2Info();
Result<std::unique_ptr<Policy>> MakeInfllm2(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
