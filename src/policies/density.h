// Policies at equal density: what a plan will cost before there are keys, and the option's value for a wanted cost.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "policies/policy.h"

namespace damask::policies {

// Planned over causal pairs of a prefill of `context` tokens (kernels::PlannedPairs), over all heads of all layers but the
// last, of which only the last row is computed, from the shape of its plans: some query blocks, evenly spread, stand for all
// (in small models up to 4096 tokens every block). Policies that choose by content plan as many keys here as they would choose;
// where their choices fall together the density that is measured is lower. 0 for an empty text.
double ShapeDensity(const Policy& policy, const ModelShape& shape, uint64_t context);

// What keeps a density from setting `spec`, as a sentence: its policy has no density option, `spec` sets that option itself, or
// the option changes nothing (blocks of a mask without content heads). Empty where nothing does, or where `spec` is wrong.
std::string WhyNoDensity(std::string_view spec, const ModelShape& shape);

// `spec` with its density option, also one that it sets itself, set to the largest value with which a prefill of `context`
// tokens keeps within `density`, and with PolicyInfo::density_settings where `spec` does not say otherwise:
// SpecForDensity("quest", 0.08, 4096, shape) is "quest:prefill=sparse,skip=0,budget=...". InvalidArgument: unknown policy,
// wrong options, one without a density option, a density outside (0, 1], or one below the least that the policy can do (the
// message names that).
Result<std::string> SpecForDensity(std::string_view spec, double density, uint64_t context, const ModelShape& shape);

}  // namespace damask::policies
