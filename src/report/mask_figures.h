// The figures of a mask, head by head and together, for `damask inspect`: as JSON, as a table, and for the page.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "masks/mask.h"
#include "report/run_json.h"

namespace damask::report {

// What a window head computes: its first keys, and its last ones, the query itself included.
struct WindowFigures {
  uint32_t keys = 0;
  uint32_t sinks = 0;
};

struct HeadFigures {
  size_t layer = 0;
  size_t head = 0;
  masks::Treatment treatment = masks::Treatment::kStatic;
  // Of the static form that the head uses: content and dense heads have none. What the file holds of theirs is what calibration
  // tried last.
  std::optional<masks::StaticForm> form;
  std::optional<WindowFigures> window;  // of heads with the window form
  std::optional<double> mass;
  std::optional<double> strong_key_hit;
  uint64_t diagonals = 0;  // offsets found in the true mask, whether the head uses them or not
  uint64_t verticals = 0;  // columns
  // Shares 0 .. 1 and nats; nothing where the file says that they were not measured. So are those above.
  std::optional<double> mass_true_mask;
  std::optional<double> effect;
  std::optional<uint32_t> rank;      // of the key directions of its KV head
  std::optional<double> rank_error;  // relative error of the scores that they give
  // [lengths]; of content heads, which choose their blocks at run time, the most that they may choose by default.
  std::vector<double> planned_density;
};

struct MaskFigures {
  std::vector<uint64_t> lengths;   // in tokens
  std::vector<HeadFigures> heads;  // layer by layer
};

// Figures of a checked mask; `lengths` are those at which densities are wanted. Densities are those of the plans that the mask
// makes (masks/density.h, whole quarters).
MaskFigures MeasureMask(const masks::Mask& mask, const std::vector<uint64_t>& lengths, ThreadPool* pool);

// The share of the attention that a head's treatment lets through: what its static form holds, 1 for content and dense heads;
// nothing where it was not measured.
std::optional<double> HeldMass(const masks::HeadMask& head);

// What some heads have together: the heads [begin, end) of `figures`.
struct Totals {
  uint64_t treatments[3] = {};                // by number of masks::Treatment
  uint64_t windows = 0;                       // static heads of the window form
  std::optional<WindowFigures> least_window;  // of window heads, each figure for itself
  std::optional<WindowFigures> largest_window;
  std::optional<double> mass_mean;  // content and dense heads count as 1
  std::optional<double> mass_min;
  std::optional<double> effects_alone;  // sum of what each head changes alone
  std::vector<double> planned_density;  // [lengths], mean over the heads
};
Totals AddUp(const MaskFigures& figures, size_t begin, size_t end);

// The keys of docs/cli.md. Densities are those of the first length.
Json InspectJson(const masks::Mask& mask, const MaskFigures& figures);

// What the mask is for and how it was made, one table line a layer, the totals. Densities are those of the first length.
std::string InspectText(const masks::Mask& mask, const MaskFigures& figures);

// "0.5", "-" where there is nothing.
std::string ShareText(const std::optional<double>& value);
std::string EffectText(const std::optional<double>& value);

// Name and value of everything that decided about the mask, for people.
std::vector<std::pair<std::string, std::string>> DescribeParameters(const masks::Mask& mask);

}  // namespace damask::report
