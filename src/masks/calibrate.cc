#include "masks/calibrate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "masks/density.h"
#include "masks/extend.h"

namespace damask::masks {
namespace {

constexpr uint32_t kThumbnailSide = 32;

// The largest mean of every cell of a coarse grid; square roots show the floor beside the peaks.
void DrawThumbnail(const HeadStatistics& statistics, HeadMask* head) {
  const size_t length = statistics.length();
  const size_t side = std::min<size_t>(length, kThumbnailSide);
  std::vector<double> largest(side * side);
  for (size_t row = 0; row < length; ++row) {
    const double inverse = statistics.Inverse(row);
    const std::span<const double> sums = statistics.row(row);
    for (size_t key = 0; key <= row; ++key) {
      double& cell = largest[row * side / length * side + key * side / length];
      cell = std::max(cell, sums[key] * inverse);
    }
  }
  head->thumbnail_side = static_cast<uint32_t>(side);
  head->thumbnail.resize(side * side);
  for (size_t i = 0; i < largest.size(); ++i) {
    head->thumbnail[i] = static_cast<uint8_t>(std::lround(255.0 * std::sqrt(std::min(largest[i], 1.0))));
  }
}

double Threshold(const std::vector<double>& amplified, const Parameters& parameters) {
  return parameters.tau_is_percentile ? Percentile(amplified, parameters.tau) : parameters.tau;
}

// Rounding may leave a share a hair above 1.
float AsShare(double mass) { return static_cast<float>(std::clamp(mass, 0.0, 1.0)); }

}  // namespace

Result<HeadMask> CalibrateHead(const HeadStatistics& statistics, const Parameters& parameters) {
  DAMASK_RETURN_IF_ERROR(CheckParameters(parameters));
  if (statistics.length() != parameters.capture_length) {
    return InvalidArgument(
        fmt::format("a map of {} rows, expected the capture length {}", statistics.length(), parameters.capture_length));
  }
  DAMASK_RETURN_IF_ERROR(statistics.Check());
  HeadMask head;
  {
    const std::vector<double> amplified = Amplify(statistics, parameters.amplify);
    head.true_mask = ThresholdMask(amplified, statistics.length(), Threshold(amplified, parameters));
  }
  head.patterns = MatchPatterns(CountPatterns(head.true_mask), parameters.match);
  const KeptCells kept = CellsOfPatterns(head.patterns, parameters.sink_keys, statistics.length());
  head.mass = AsShare(KeptMass(statistics, kept, parameters.sink_keys));
  head.window = parameters.window;
  head.window_sinks = parameters.sink_keys;
  if (parameters.window != 0) {
    const KeptCells window = CellsOfWindow(parameters.sink_keys, parameters.window, statistics.length());
    head.mass_window = AsShare(KeptMass(statistics, window, parameters.sink_keys));
  }
  head.mass_true_mask = AsShare(KeptMass(statistics, head.true_mask, parameters.sink_keys));
  DrawThumbnail(statistics, &head);
  return head;
}

LayerCapture::LayerCapture(size_t heads, size_t capture_length) : heads_(heads, HeadStatistics(capture_length)) {}

uint64_t LayerCapture::bytes() const {
  uint64_t bytes = 0;
  for (const HeadStatistics& head : heads_) bytes += head.sums().size() * sizeof(double) + head.length() * sizeof(uint64_t);
  return bytes;
}

void LayerCapture::Clear() {
  for (HeadStatistics& head : heads_) head.Clear();
}

Status CalibrateLayer(const LayerCapture& capture, ForEachIndex for_each, Mask* mask) {
  const size_t first = mask->heads.size();
  mask->heads.resize(first + capture.heads());
  std::vector<Status> statuses(capture.heads());
  const auto calibrate = [&](size_t h) {
    Result<HeadMask> head = CalibrateHead(capture.head(h), mask->parameters);
    if (head.ok()) {
      mask->heads[first + h] = std::move(head).value();
    } else {
      statuses[h] = head.status().At(fmt::format("layer {} head {}", first / capture.heads(), h));
    }
  };
  for_each(capture.heads(), calibrate);
  for (const Status& status : statuses) DAMASK_RETURN_IF_ERROR(status);
  return {};
}

Status CalibrateLayer(const LayerCapture& capture, Mask* mask) {
  const auto one_by_one = [](size_t count, FunctionRef<void(size_t)> body) {
    for (size_t i = 0; i < count; ++i) body(i);
  };
  return CalibrateLayer(capture, one_by_one, mask);
}

Result<Mask> CalibrateFromMaps(size_t layers, size_t heads, FunctionRef<Result<AttentionMap>(size_t layer, size_t head)> load,
                               Parameters parameters) {
  parameters.samples = std::max<uint32_t>(parameters.samples, 1);
  Mask mask;
  mask.fingerprint.layers = static_cast<uint32_t>(layers);
  mask.fingerprint.heads = static_cast<uint32_t>(heads);
  HeadStatistics statistics(0);
  for (size_t i = 0; i < layers * heads; ++i) {
    DAMASK_ASSIGN_OR_RETURN(const AttentionMap map, load(i / heads, i % heads));
    if (i == 0) {
      parameters.capture_length = static_cast<uint32_t>(map.length);
      parameters.tokens = uint64_t{parameters.samples} * map.length;
      DAMASK_RETURN_IF_ERROR(CheckParameters(parameters));
      statistics = HeadStatistics(map.length);
    }
    const std::string where = fmt::format("layer {} head {}", i / heads, i % heads);
    if (map.length != statistics.length()) {
      return BadFormat(fmt::format("the map has {} rows, those before it have {}", map.length, statistics.length())).At(where);
    }
    statistics.Clear();
    statistics.AddMean(map.cells, parameters.samples);
    Result<HeadMask> head = CalibrateHead(statistics, parameters);
    if (!head.ok()) return head.status().At(where);
    mask.heads.push_back(std::move(head).value());
  }
  mask.parameters = parameters;
  DAMASK_RETURN_IF_ERROR(CheckMask(mask));
  return mask;
}

Result<Mask> CalibrateFromFolder(const std::string& folder, const Parameters& parameters) {
  DAMASK_ASSIGN_OR_RETURN(const MapFolder maps, ListMapFolder(folder));
  return CalibrateFromMaps(
      maps.layers, maps.heads, [&](size_t layer, size_t head) { return ReadMapFile(maps.files[layer * maps.heads + head]); },
      parameters);
}

Status ChooseByMass(double target, uint64_t length, Mask* mask) {
  if (!(target >= 0.0 && target <= 1.0))
    return InvalidArgument(fmt::format("the target recall is {}, expected 0 to 1", target));
  mask->parameters.target_recall = target;
  for (HeadMask& head : mask->heads) {
    head.treatment = Treatment::kStatic;
    const auto cost_of = [&](StaticForm form) {
      head.form = form;
      return KeptPairs(head, mask->parameters, length);
    };
    const bool window_holds = head.window > 0 && head.mass_window >= static_cast<float>(target);
    const bool patterns_hold = head.mass >= static_cast<float>(target);
    const bool use_window = window_holds && (!patterns_hold || cost_of(StaticForm::kWindow) < cost_of(StaticForm::kPatterns));
    head.form = use_window ? StaticForm::kWindow : StaticForm::kPatterns;
    if (!window_holds && !patterns_hold) head.treatment = Treatment::kDense;
  }
  return {};
}

Status ChooseByBudget(double budget, uint64_t length, std::span<const uint32_t> windows, Mask* mask) {
  if (!(budget >= 0.0 && budget <= 1.0)) return InvalidArgument(fmt::format("the budget is {}, expected 0 to 1", budget));
  mask->parameters.budget = budget;
  std::vector<size_t> order(mask->heads.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return mask->heads[a].mass < mask->heads[b].mass; });
  const auto choose = [&](size_t dense) {
    for (size_t i = 0; i < order.size(); ++i)
      mask->heads[order[i]].treatment = i < dense ? Treatment::kDense : Treatment::kStatic;
  };
  const auto density = [&](size_t dense) {
    choose(dense);
    return PlannedDensity(*mask, length, PlanMode::kBlocks, windows);
  };
  if (const double least = density(0); least > budget) {
    return InvalidArgument(
        fmt::format("the budget is {:g}, and the masks of all heads take {:.4g} of {} tokens", budget, least, length));
  }
  // Density grows with every dense head: bisect how many fit.
  size_t fits = 0;
  size_t too_many = order.size() + 1;
  while (too_many - fits > 1) {
    const size_t middle = (fits + too_many) / 2;
    (density(middle) <= budget ? fits : too_many) = middle;
  }
  choose(fits);
  return {};
}

}  // namespace damask::masks
