#include "report/calibration_report.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "report/mask_figures.h"
#include "report/or_null.h"

namespace damask::report {
namespace {

struct Counts {
  size_t fixed = 0, windows = 0, content = 0, dense = 0;
  size_t with_mass = 0;
  double mass_sum = 0, mass_min = 1;

  // Nothing where no head's mass was measured.
  std::optional<double> mean() const {
    return with_mass == 0 ? std::nullopt : std::optional(mass_sum / static_cast<double>(with_mass));
  }
  std::optional<double> min() const { return with_mass == 0 ? std::nullopt : std::optional(mass_min); }
};

Counts Count(const masks::Mask& mask) {
  Counts counts;
  for (const masks::HeadMask& head : mask.heads) {
    const bool window = head.treatment == masks::Treatment::kStatic && head.form == masks::StaticForm::kWindow;
    counts.fixed += head.treatment == masks::Treatment::kStatic ? 1 : 0;
    counts.windows += window ? 1 : 0;
    counts.content += head.treatment == masks::Treatment::kContent ? 1 : 0;
    counts.dense += head.treatment == masks::Treatment::kDense ? 1 : 0;
    const std::optional<double> mass = HeldMass(head);
    if (!mass) continue;
    ++counts.with_mass;
    counts.mass_sum += *mass;
    counts.mass_min = std::min(counts.mass_min, *mass);
  }
  return counts;
}

}  // namespace

Json CalibrationJson(const engine::CalibrateResult& result) {
  const masks::Mask& mask = result.mask;
  const Counts counts = Count(mask);
  const bool measured = result.treatments.passes != 0;
  return {{"layers", mask.fingerprint.layers},
          {"heads", mask.fingerprint.heads},
          {"treatments", {{"static", counts.fixed}, {"content", counts.content}, {"dense", counts.dense}}},
          {"windows", counts.windows},
          {"content_blocks", counts.content != 0 ? Json(mask.parameters.content_blocks) : Json(nullptr)},
          {"mass_mean", OrNull(counts.mean())},
          {"mass_min", OrNull(counts.min())},
          {"effect_sum", measured ? Json(result.treatments.joint.worst()) : Json(nullptr)},
          {"effect_prose", measured ? Json(result.treatments.joint.prose) : Json(nullptr)},
          {"effect_retrieval", measured ? Json(result.treatments.joint.retrieval) : Json(nullptr)},
          {"passes", result.treatments.passes},
          {"density", result.density},
          {"seconds", result.capture_seconds + result.effect_seconds},
          {"capture_s", result.capture_seconds},
          {"effect_s", result.effect_seconds},
          {"samples", mask.parameters.samples},
          {"tokens", mask.parameters.tokens}};
}

std::string CalibrationText(const engine::CalibrateResult& result, const std::string& path) {
  const Counts counts = Count(result.mask);
  std::string text =
      fmt::format("{}: {} of {}; {} static ({} of them windows), {} content, {} dense\n", path,
                  Counted(result.mask.fingerprint.layers, "layer"), Counted(result.mask.fingerprint.heads, "head"),
                  counts.fixed, counts.windows, counts.content, counts.dense);
  if (counts.content != 0 && result.mask.parameters.content_blocks != masks::kUsualContentBlocks) {
    text += fmt::format("content heads choose at most {} blocks of 16 keys\n", result.mask.parameters.content_blocks);
  }
  // How much content heads see is known at run time; they are counted as dense.
  text += fmt::format("density {}{:.3f}; mass held {} on average, {} at least", counts.content != 0 ? "below " : "",
                      result.density, ShareText(counts.mean()), ShareText(counts.min()));
  if (result.treatments.passes != 0) {
    text += fmt::format("; effect {:.4f} nats on prose, {:.4f} on answers ({} passes)", result.treatments.joint.prose,
                        result.treatments.joint.retrieval, result.treatments.passes);
  }
  return text + fmt::format("\ncaptured {} tokens in {}, chose treatments in {}\n", result.mask.parameters.tokens,
                            FormatSeconds(result.capture_seconds), FormatSeconds(result.effect_seconds));
}

}  // namespace damask::report
