// Two masks of one model side by side, for `damask inspect A --diff B`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "masks/mask.h"
#include "report/run_json.h"

namespace damask::report {

struct HeadDiff {
  size_t layer = 0;
  size_t head = 0;
  std::string before;  // "patterns", "window", "content", "dense"
  std::string after;
  std::optional<double> overlap;  // of kept pairs: intersection over union; of heads that are static in both
};

struct MaskDiff {
  uint64_t length = 0;
  std::vector<HeadDiff> heads;    // layer by layer
  std::optional<double> overlap;  // of all pairs of heads that are static in both
  double density_before = 0;      // as `damask inspect` says them
  double density_after = 0;

  uint64_t changed() const;  // heads
  uint64_t static_in_both() const;
};

// Of checked masks, for a text of `length` tokens; pairs are those of three rows of each query block (first, middle, last).
// InvalidArgument where their layers or heads differ in number.
Result<MaskDiff> DiffMasks(const masks::Mask& before, const masks::Mask& after, uint64_t length, ThreadPool* pool);

Json MaskDiffJson(const MaskDiff& diff);
// How many heads went from what to what, and the figures.
std::string MaskDiffText(const MaskDiff& diff);

}  // namespace damask::report
