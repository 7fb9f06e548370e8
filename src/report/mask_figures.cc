#include "report/mask_figures.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "masks/compile.h"
#include "masks/density.h"
#include "policies/content_keys.h"

namespace damask::report {
namespace {

using masks::HeadMask;
using masks::KeyDirections;
using masks::Mask;
using masks::StaticForm;
using masks::Treatment;

std::optional<double> Measured(float value) {
  if (value == masks::kNotMeasured) return std::nullopt;
  return value;
}

// By layer and KV head.
using DirectionsOfHead = std::map<std::pair<size_t, size_t>, const KeyDirections*>;

HeadFigures FiguresOf(const Mask& mask, size_t index, const DirectionsOfHead& directions) {
  const masks::Fingerprint& f = mask.fingerprint;
  const HeadMask& head = mask.heads[index];
  HeadFigures figures;
  figures.layer = index / f.heads;
  figures.head = index % f.heads;
  figures.treatment = head.treatment;
  if (head.treatment == Treatment::kStatic) {
    figures.form = head.form;
    figures.mass = HeldMass(head);
    figures.strong_key_hit = Measured(head.strong_key_hit);
    if (head.form == StaticForm::kWindow) figures.window = WindowFigures{head.window, head.window_sinks};
  }
  for (const masks::DiagonalInterval& interval : head.patterns.diagonals) figures.diagonals += interval.end - interval.begin;
  figures.verticals = head.patterns.verticals.size();
  figures.mass_true_mask = Measured(head.mass_true_mask);
  figures.effect = Measured(head.effect);
  const size_t group = f.kv_heads == 0 ? 1 : f.heads / f.kv_heads;
  if (const auto found = directions.find({figures.layer, figures.head / group}); found != directions.end()) {
    figures.rank = found->second->rank;
    figures.rank_error = Measured(found->second->error);
  }
  return figures;
}

// Without directions a head has nothing to choose by and sees everything.
double DensityOf(const HeadMask& head, bool has_directions, const masks::Parameters& parameters, uint64_t length) {
  if (head.treatment == Treatment::kDense || (head.treatment == Treatment::kContent && !has_directions)) return 1.0;
  const masks::GroupMask alone(std::span(&head, 1), parameters);
  if (head.treatment == Treatment::kStatic) return masks::PlannedDensity(alone, length, masks::PlanMode::kBlocks);
  policies::ContentOptions options;  // as dam sets them
  options.sinks = parameters.sink_keys;
  options.max_quarters = parameters.content_blocks;
  std::vector<masks::QuarterRange> most;
  const std::vector<masks::QuarterRange>* const of_head = &most;
  const masks::ChosenOf chosen = [&](uint64_t first, size_t rows) {
    policies::MostQuarters(options, first, rows, 0, &most);
    return masks::GroupMask::Chosen(&of_head, 1);
  };
  return masks::PlannedDensity(alone, length, masks::PlanMode::kBlocks, chosen);
}

void Add(const std::optional<double>& value, std::optional<double>* sum) {
  if (value) *sum = sum->value_or(0.0) + *value;
}

void TakeWindow(const WindowFigures& window, Totals* totals) {
  if (!totals->least_window) totals->least_window = totals->largest_window = window;
  totals->least_window->keys = std::min(totals->least_window->keys, window.keys);
  totals->least_window->sinks = std::min(totals->least_window->sinks, window.sinks);
  totals->largest_window->keys = std::max(totals->largest_window->keys, window.keys);
  totals->largest_window->sinks = std::max(totals->largest_window->sinks, window.sinks);
}

}  // namespace

std::optional<double> HeldMass(const HeadMask& head) {
  if (head.treatment != Treatment::kStatic) return 1.0;
  return Measured(head.form == StaticForm::kWindow ? head.mass_window : head.mass);
}

MaskFigures MeasureMask(const Mask& mask, const std::vector<uint64_t>& lengths, ThreadPool* pool) {
  DirectionsOfHead directions;
  for (const KeyDirections& entry : mask.key_directions) directions[{entry.layer, entry.kv_head}] = &entry;
  MaskFigures figures;
  figures.lengths = lengths;
  figures.heads.resize(mask.heads.size());
  pool->ParallelFor(mask.heads.size(), 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      HeadFigures& head = figures.heads[i];
      head = FiguresOf(mask, i, directions);
      for (const uint64_t length : lengths) {
        head.planned_density.push_back(DensityOf(mask.heads[i], head.rank.has_value(), mask.parameters, length));
      }
    }
  });
  return figures;
}

Totals AddUp(const MaskFigures& figures, size_t begin, size_t end) {
  Totals totals;
  totals.planned_density.assign(figures.lengths.size(), 0.0);
  uint64_t with_mass = 0;
  for (size_t i = begin; i < end; ++i) {
    const HeadFigures& head = figures.heads[i];
    ++totals.treatments[static_cast<size_t>(head.treatment)];
    if (head.window) TakeWindow(*head.window, &totals);
    totals.windows += head.form == StaticForm::kWindow ? 1 : 0;
    const std::optional<double> mass = head.treatment == Treatment::kStatic ? head.mass : 1.0;
    Add(mass, &totals.mass_mean);
    Add(head.effect, &totals.effects_alone);
    if (mass) totals.mass_min = std::min(totals.mass_min.value_or(1.0), *mass);
    with_mass += mass ? 1 : 0;
    for (size_t l = 0; l < figures.lengths.size(); ++l) {
      totals.planned_density[l] += head.planned_density[l] / static_cast<double>(end - begin);
    }
  }
  if (totals.mass_mean) *totals.mass_mean /= static_cast<double>(with_mass);
  return totals;
}

}  // namespace damask::report
