// How much filler a token budget holds.
#pragma once

#include <cstdint>
#include <functional>

#include "base/status.h"
#include "texts/sample.h"
#include "texts/tasks.h"

namespace damask::texts {

struct FitLimits {
  uint64_t min_units = 0;
  uint64_t max_units = UINT64_MAX;
};

// Tokens that a sample may stay below its budget.
inline constexpr uint64_t FitMargin(uint64_t tokens) { return tokens / 32 > 32 ? tokens / 32 : 32; }

// The sample of the most units (lines, sentences, words) that `tokens` hold, found from the tokens that a unit takes in samples
// that were tried, FitMargin below it at most. `build` must grow with its units and depend on nothing else.
// Errors: InvalidArgument where min_units do not fit, TooLarge where max_units stay below the margin.
Result<Sample> FitSample(uint64_t tokens, FitLimits limits, const CountTokens& count,
                         const std::function<Sample(uint64_t units)>& build);

}  // namespace damask::texts
