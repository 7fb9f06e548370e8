// `damask inspect` for people: the table in the terminal, and words that the page uses, too.
#include <utility>

#include <fmt/format.h>

#include "report/mask_figures.h"
#include "report/table.h"

namespace damask::report {
namespace {

using masks::Treatment;

std::string CountText(uint64_t count) { return count == 0 ? "-" : fmt::format("{}", count); }

// "16 to 512", "16" where they are all alike.
std::string RangeText(uint32_t least, uint32_t largest) {
  return least == largest ? fmt::format("{}", least) : fmt::format("{} to {}", least, largest);
}

std::vector<std::string> Row(std::string name, const Totals& totals) {
  const auto of = [&](Treatment treatment) { return totals.treatments[static_cast<size_t>(treatment)]; };
  return {std::move(name),
          CountText(of(Treatment::kStatic) - totals.windows),
          CountText(totals.windows),
          CountText(of(Treatment::kContent)),
          CountText(of(Treatment::kDense)),
          ShareText(totals.mass_mean),
          ShareText(totals.mass_min),
          EffectText(totals.effects_alone),
          fmt::format("{:.1f}%", 100.0 * totals.planned_density.front())};
}

}  // namespace

std::string ShareText(const std::optional<double>& value) { return value ? fmt::format("{:.3f}", *value) : "-"; }

std::string EffectText(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : "-"; }

std::vector<std::pair<std::string, std::string>> DescribeParameters(const masks::Mask& mask) {
  const masks::Parameters& p = mask.parameters;
  std::vector<std::pair<std::string, std::string>> lines;
  lines.emplace_back("capture length", fmt::format("{} tokens", p.capture_length));
  lines.emplace_back("calibration text", fmt::format("{} samples, {} tokens", p.samples, p.tokens));
  lines.emplace_back("transform", std::string(masks::TransformName(p.amplify.transform)) +
                                      (p.amplify.scale_rows ? ", rows scaled by their length" : ""));
  lines.emplace_back("lambda, epsilon", fmt::format("{:g}, {:g}", p.amplify.lambda, p.amplify.epsilon));
  lines.emplace_back("tau", p.tau_is_percentile ? fmt::format("percentile {:g}", p.tau) : fmt::format("{:g}", p.tau));
  lines.emplace_back("mu, match", fmt::format("{:g}, {} of patterns from {} cells on", p.match.mu,
                                              p.match.match == masks::Match::kUnion ? "union" : "best", p.match.min_cells));
  lines.emplace_back("sinks", fmt::format("first {} keys", p.sink_keys));
  // The choice by effect tries windows of its own.
  if (p.max_kl == masks::kNoGoal) lines.emplace_back("window", p.window == 0 ? "not tried" : fmt::format("{} keys", p.window));
  if (masks::HasContentHeads(mask))
    lines.emplace_back("content blocks", fmt::format("at most {}, of 16 keys each", p.content_blocks));
  if (p.effect_length != 0) lines.emplace_back("effect length", fmt::format("{} tokens", p.effect_length));
  if (p.max_kl != masks::kNoGoal) lines.emplace_back("max-kl", fmt::format("{:g} nats", p.max_kl));
  if (p.target_recall != masks::kNoGoal) lines.emplace_back("target recall", fmt::format("{:g}", p.target_recall));
  if (p.budget != masks::kNoGoal) lines.emplace_back("budget", fmt::format("{:g}", p.budget));
  if (p.joint_effect != masks::kNoGoal) lines.emplace_back("joint effect", fmt::format("{:.4g} nats", p.joint_effect));
  return lines;
}

std::string InspectText(const masks::Mask& mask, const MaskFigures& figures) {
  const masks::Fingerprint& f = mask.fingerprint;
  std::string text = fmt::format("{:<17}{}\n", "made for", masks::Describe(f));  // quotes names itself
  for (const auto& [name, value] : DescribeParameters(mask)) text += fmt::format("{:<17}{}\n", name, value);
  const Totals totals = AddUp(figures, 0, figures.heads.size());
  if (totals.least_window) {
    const auto& [least, largest] = std::pair(*totals.least_window, *totals.largest_window);
    text += fmt::format("{:<17}first {} and last {} keys\n", "windows in use", RangeText(least.sinks, largest.sinks),
                        RangeText(least.keys, largest.keys));
  }
  Table table({"layer", "patterns", "window", "content", "dense", "mass mean", "mass min", "effects alone",
               fmt::format("density at {}", figures.lengths.front())});
  for (size_t layer = 0; layer < f.layers; ++layer) {
    table.Add(Row(fmt::format("{}", layer), AddUp(figures, layer * f.heads, (layer + 1) * f.heads)));
  }
  table.Add(Row("all", totals));
  text += "\n" + table.ToString();
  if (const uint64_t content = totals.treatments[static_cast<size_t>(Treatment::kContent)]; content != 0) {
    text += fmt::format(
        "\ncontent heads: {}. They choose their keys as the text goes by; counted here with as many as they may choose.\n",
        content);
  }
  return text;
}

}  // namespace damask::report
