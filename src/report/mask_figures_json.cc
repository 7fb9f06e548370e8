// `damask inspect` for programs.
#include <fmt/format.h>

#include "base/text.h"
#include "report/mask_figures.h"
#include "report/or_null.h"

namespace damask::report {
namespace {

using masks::Treatment;

Json Goal(double value) { return value == masks::kNoGoal ? Json(nullptr) : Json(value); }

// Hashes need all 64 bits, which numbers of JSON do not have everywhere.
std::string Hash(uint64_t value) { return value == 0 ? "" : fmt::format("{:016x}", value); }

Json FingerprintJson(const masks::Fingerprint& f) {
  return {{"architecture", SanitizeUtf8(f.architecture)},
          {"model", SanitizeUtf8(f.model)},
          {"layers", f.layers},
          {"heads", f.heads},
          {"kv_heads", f.kv_heads},
          {"head_dim", f.head_dim},
          {"vocab", f.vocab},
          {"tokenizer_hash", Hash(f.tokenizer_hash)},
          {"weights_hash", Hash(f.weights_hash)}};
}

Json ParametersJson(const masks::Mask& mask) {
  const masks::Parameters& p = mask.parameters;
  return {{"capture_length", p.capture_length},
          {"samples", p.samples},
          {"tokens", p.tokens},
          {"transform", masks::TransformName(p.amplify.transform)},
          {"lambda", p.amplify.lambda},
          {"epsilon", p.amplify.epsilon},
          {"scale_rows", p.amplify.scale_rows},
          {"tau", p.tau},
          {"tau_is_percentile", p.tau_is_percentile},
          {"mu", p.match.mu},
          {"min_cells", p.match.min_cells},
          {"match", p.match.match == masks::Match::kUnion ? "union" : "best"},
          {"sink_keys", p.sink_keys},
          {"window", p.window},
          {"content_blocks", masks::HasContentHeads(mask) ? Json(p.content_blocks) : Json(nullptr)},
          {"effect_length", p.effect_length},
          {"max_kl", Goal(p.max_kl)},
          {"target_recall", Goal(p.target_recall)},
          {"budget", Goal(p.budget)},
          {"joint_effect", Goal(p.joint_effect)}};
}

Json FormJson(const std::optional<masks::StaticForm>& form) {
  if (!form) return nullptr;
  return *form == masks::StaticForm::kWindow ? "window" : "patterns";
}

// Offsets [begin, end) back from the query.
Json IntervalsJson(const masks::Patterns& patterns) {
  Json intervals = Json::array();
  for (const masks::DiagonalInterval& interval : patterns.diagonals) intervals.push_back({interval.begin, interval.end});
  return intervals;
}

Json ColumnsJson(const masks::Patterns& patterns) {
  Json columns = Json::array();
  for (const auto& vertical : patterns.verticals) columns.push_back(vertical.column);
  return columns;
}

Json HeadJson(const HeadFigures& head, const masks::Patterns& patterns) {
  return {{"layer", head.layer},
          {"head", head.head},
          {"treatment", masks::TreatmentName(head.treatment)},
          {"form", FormJson(head.form)},
          {"window", head.window ? Json(head.window->keys) : Json(nullptr)},
          {"window_sinks", head.window ? Json(head.window->sinks) : Json(nullptr)},
          {"diagonals", head.diagonals},
          {"diagonal_intervals", IntervalsJson(patterns)},
          {"verticals", head.verticals},
          {"vertical_columns", ColumnsJson(patterns)},
          {"mass", OrNull(head.mass)},
          {"mass_true_mask", OrNull(head.mass_true_mask)},
          {"strong_key_hit", OrNull(head.strong_key_hit)},
          {"effect", OrNull(head.effect)},
          {"rank", OrNull(head.rank)},
          {"rank_error", OrNull(head.rank_error)},
          {"density", head.planned_density.front()}};
}

}  // namespace

Json InspectJson(const masks::Mask& mask, const MaskFigures& figures) {
  const Totals totals = AddUp(figures, 0, figures.heads.size());
  Json heads = Json::array();
  for (size_t h = 0; h < figures.heads.size(); ++h) heads.push_back(HeadJson(figures.heads[h], mask.heads[h].patterns));
  return {{"fingerprint", FingerprintJson(mask.fingerprint)},
          {"parameters", ParametersJson(mask)},
          {"treatments",
           {{"static", totals.treatments[static_cast<size_t>(Treatment::kStatic)]},
            {"content", totals.treatments[static_cast<size_t>(Treatment::kContent)]},
            {"dense", totals.treatments[static_cast<size_t>(Treatment::kDense)]}}},
          {"mass_mean", OrNull(totals.mass_mean)},
          {"mass_min", OrNull(totals.mass_min)},
          {"effect_sum", Goal(mask.parameters.joint_effect)},
          {"density_length", figures.lengths.front()},
          {"density", totals.planned_density.front()},
          {"heads", heads}};
}

}  // namespace damask::report
