// Calibration without a model: from captured statistics to masks (DAM stage 1, steps 2 to 4). Capturing them from a model, and
// measuring what masked heads change, is the engine's part; it fills HeadStatistics layer by layer and calls CalibrateHead.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "masks/map_files.h"
#include "masks/mask.h"
#include "masks/statistics.h"

namespace damask::masks {

// The mask of one head: true mask, kept patterns, the mass they hold, a picture. Treatment static, form patterns.
// InvalidArgument for parameters out of range, statistics of another length, rows without samples. Pure; thread-safe. Cost:
// O(L^2); memory: one triangle of doubles.
Result<HeadMask> CalibrateHead(const HeadStatistics& statistics, const Parameters& parameters);

// The capture of one layer while the forward pass runs: one HeadStatistics per query head.
class LayerCapture {
 public:
  LayerCapture(size_t heads, size_t capture_length);

  // One row of softmax probabilities [position + 1] of query `position` in one sample. Calls for different heads may run at
  // once.
  void AddRow(size_t head, size_t position, std::span<const float> probabilities) {
    heads_[head].AddRow(position, probabilities);
  }
  const HeadStatistics& head(size_t head) const { return heads_[head]; }
  size_t heads() const { return heads_.size(); }
  uint64_t bytes() const;
  // For the next layer.
  void Clear();

 private:
  std::vector<HeadStatistics> heads_;
};

// Calibrates every head of a layer and appends them to mask->heads. `where` of an error names the layer and the head.
// `for_each(count, body)` calls body(index) for all indices below count, at once where it likes.
using ForEachIndex = FunctionRef<void(size_t count, FunctionRef<void(size_t index)> body)>;
Status CalibrateLayer(const LayerCapture& capture, ForEachIndex for_each, Mask* mask);
Status CalibrateLayer(const LayerCapture& capture, Mask* mask);

// Mean maps captured elsewhere, asked for one by one, layer by layer. The capture length is that of the first map
// (parameters.capture_length is overwritten), the number of samples behind each mean is parameters.samples (0 counts as 1; only
// the transforms that act on the sum notice). An error of `load` is passed on; maps of different lengths are BadFormat.
Result<Mask> CalibrateFromMaps(size_t layers, size_t heads, FunctionRef<Result<AttentionMap>(size_t layer, size_t head)> load,
                               Parameters parameters);
// The maps of a folder (map_files.h).
Result<Mask> CalibrateFromFolder(const std::string& folder, const Parameters& parameters);

// Treatments by what calibration alone knows. Heads become windows where their window holds at least `target` of the mass and
// the patterns hold less or cost more at `length` tokens, dense where neither holds it. Records the target.
Status ChooseByMass(double target, uint64_t length, Mask* mask);
// Of all heads those that hold the least mass become dense, as many as keep the planned density at `length` within `budget`.
// `windows`: the model's own, as for PlannedDensity. Errors: InvalidArgument where the static forms alone pass the budget.
Status ChooseByBudget(double budget, uint64_t length, std::span<const uint32_t> windows, Mask* mask);

}  // namespace damask::masks
