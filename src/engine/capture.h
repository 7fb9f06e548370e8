// What a calibration sees of a layer while texts go through it: the attention maps of its first rows (DAM stage 1, step 1),
// which strong keys a static form would lose, and the second moments of keys and queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "engine/engine.h"
#include "kernels/scores.h"
#include "masks/calibrate.h"

namespace damask::engine {

// Adds the attention probabilities of the rows of `view` below the capture length to `capture`.
void CaptureMaps(Engine* engine, const model::LayerView& view, masks::LayerCapture* capture);

// Dense attention of single rows: calls row(kv_head, g, position, probabilities [position + 1]) for head g of each KV head's
// group and each of `positions` (ascending, of the text) that lies in `view`. KV heads run on all workers at once; the rows of
// one in order.
using RowProbabilities = FunctionRef<void(size_t kv_head, size_t g, uint64_t position, std::span<const float> probabilities)>;
void ForRows(Engine* engine, const model::LayerView& view, std::span<const uint32_t> positions, RowProbabilities row);

// A window of the last keys beside the sinks: a form whose loss is measured.
struct WindowForm {
  uint32_t sinks = 0;
  uint32_t window = 0;
};

// How much of a head's attention some static forms keep, on rows of texts far beyond the capture length.
struct FormLoss {
  double mass_sum = 0;
  uint64_t strong_hits = 0;

  double mass(uint64_t rows) const { return rows == 0 ? 1 : mass_sum / static_cast<double>(rows); }
  // The share of rows with a strong key that keep it; without any such row nothing can be missed.
  double hit(uint64_t strong_rows) const {
    return strong_rows == 0 ? 1 : static_cast<double>(strong_hits) / static_cast<double>(strong_rows);
  }
};
struct HeadLosses {
  uint64_t rows = 0;
  uint64_t strong_rows = 0;
  FormLoss patterns;
  std::vector<FormLoss> windows;  // of each WindowForm
};

// Measures every `stride`-th row of `view` from `first_row` on, dense attention against each form. losses [heads] of the layer;
// masks [heads] of the layer.
void MeasureLosses(Engine* engine, const model::LayerView& view, std::span<const masks::HeadMask> masks,
                   const masks::Parameters& parameters, std::span<const WindowForm> forms, uint64_t first_row, size_t stride,
                   std::vector<HeadLosses>* losses);

// Second moments of one KV head's rotated keys (about their mean, as a shift of all keys changes no softmax) and of its group's
// rotated queries, positions shifted at random over [0, context): [head_dim, head_dim] each, unnormalised.
struct Moments {
  std::vector<double> keys;
  std::vector<double> queries;
  std::vector<double> key_sum;  // [head_dim]
  uint64_t key_count = 0;
  uint64_t query_count = 0;
};
// Adds every `stride`-th row of `view` to moments [kv_heads].
void AddMoments(Engine* engine, const model::LayerView& view, uint64_t context, size_t stride, uint64_t seed,
                std::vector<Moments>* moments);

}  // namespace damask::engine
