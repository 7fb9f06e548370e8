#include "texts/fit.h"

#include <algorithm>

#include <fmt/format.h>

namespace damask::texts {
namespace {

constexpr uint64_t kFirstUnits = 16;

Result<uint64_t> TokensOf(const Sample& sample, const CountTokens& count) {
  DAMASK_ASSIGN_OR_RETURN(const size_t tokens, count(sample.text + sample.question + sample.prefix));
  return static_cast<uint64_t>(tokens);
}

// What has been tried: the most units known to fit, the fewest known not to.
struct Bracket {
  uint64_t fits = 0;
  uint64_t fits_tokens = 0;
  uint64_t exceeds = UINT64_MAX;
};

// Where the budget will be met if a further unit takes as many tokens as those between `base` and bracket.fits did on average.
uint64_t NextUnits(const Bracket& bracket, uint64_t base, uint64_t base_tokens, uint64_t budget) {
  const uint64_t units = std::max<uint64_t>(1, bracket.fits - base);
  const double per_unit = std::max(
      1e-3, static_cast<double>(bracket.fits_tokens - std::min(base_tokens, bracket.fits_tokens)) / static_cast<double>(units));
  const auto more = static_cast<uint64_t>(static_cast<double>(budget - bracket.fits_tokens) / per_unit);
  uint64_t next = bracket.fits + std::max<uint64_t>(1, more);
  // A guess beyond what is known not to fit: the middle instead.
  if (next >= bracket.exceeds) next = bracket.fits + (bracket.exceeds - bracket.fits) / 2;
  return next;
}

}  // namespace

Result<Sample> FitSample(uint64_t tokens, FitLimits limits, const CountTokens& count,
                         const std::function<Sample(uint64_t units)>& build) {
  Sample best = build(limits.min_units);
  DAMASK_ASSIGN_OR_RETURN(const uint64_t least, TokensOf(best, count));
  if (least > tokens) {
    return InvalidArgument(fmt::format("{} tokens are too few, the least text takes {}", tokens, least));
  }
  Bracket bracket = {.fits = limits.min_units, .fits_tokens = least};
  uint64_t units = limits.min_units + kFirstUnits;
  while (tokens - bracket.fits_tokens > FitMargin(tokens) / 2 && bracket.exceeds - bracket.fits > 1) {
    units = std::min(units, limits.max_units);
    if (units == bracket.fits) break;
    Sample sample = build(units);
    DAMASK_ASSIGN_OR_RETURN(const uint64_t taken, TokensOf(sample, count));
    if (taken > tokens) {
      bracket.exceeds = units;
    } else {
      bracket.fits = units;
      bracket.fits_tokens = taken;
      best = std::move(sample);
    }
    units = bracket.fits == limits.min_units ? bracket.fits + std::max<uint64_t>(1, (bracket.exceeds - bracket.fits) / 2)
                                             : NextUnits(bracket, limits.min_units, least, tokens);
  }
  if (bracket.fits == limits.max_units && tokens - bracket.fits_tokens > FitMargin(tokens)) {
    return TooLarge(
        fmt::format("{} tokens are too many: all of the {} facts take {}", tokens, limits.max_units, bracket.fits_tokens));
  }
  return best;
}

}  // namespace damask::texts
