// TCA-style attention: each KV head keeps a share of every 64 keys, the ones that matter and are unlike each other; a table
// says how large each head's share is. Source: You et al., Training-free Context-adaptive Attention (arXiv 2512.09238), of
// which only the abstract was at hand: the rule is our reading (docs/policies/tca.md).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "policies/registry.h"

namespace damask::policies {

PolicyInfo TcaInfo();
Result<std::unique_ptr<Policy>> MakeTca(const Options& options, const ModelShape& shape);

// Shares times a common factor, each at most 1, so that their mean is `mean` in [0, 1].
std::vector<float> ScaleShares(std::vector<float> shares, double mean);

// `count` indices of keys [keys, dim]: the first `forced`, then greedily: the next has the highest importance[i] (1 - lambda
// r), r being its largest cosine with those chosen before, at least 0; of equal ones the first.
void ChooseCore(std::span<const float> keys, size_t dim, std::span<const float> importance, double lambda, size_t forced,
                size_t count, std::vector<uint32_t>* chosen);

}  // namespace damask::policies
