#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/text.h"
#include "base/version.h"
#include "report/compare_picture.h"
#include "report/compare_report.h"
#include "report/html.h"

namespace damask::report {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1300px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.9em; }
th, td { padding: 0.3em 0.6em; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
td:nth-child(3) { white-space: normal; overflow-wrap: anywhere; min-width: 15em; }
thead th { position: sticky; top: 0; background: Canvas; }
.wide { overflow-x: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1em; }
svg { width: 100%; height: auto; background: var(--soft); border-radius: 6px; }
svg text { font-size: 11px; fill: CanvasText; } svg .title { font-size: 13px; font-weight: 600; }
svg .grid { stroke: var(--line); }
.legend span { margin-right: 1.4em; white-space: nowrap; }
.dot { display: inline-block; width: 0.75em; height: 0.75em; border-radius: 50%; margin-right: 0.4em; }
.note { color: GrayText; }
)";

size_t SeriesOf(const evals::CompareRun& run, const std::string& policy) {
  return static_cast<size_t>(std::find(run.policies.begin(), run.policies.end(), policy) - run.policies.begin());
}

PicturePoint PointOf(const evals::CompareRun& run, const evals::Cell& cell) {
  PicturePoint point;
  point.series = SeriesOf(run, cell.policy);
  point.density = cell.summary.density;
  if (cell.nll) {
    point.value = point.low = point.high = std::exp(*cell.nll);
    point.label = fmt::format("{}: perplexity {:.3f}, density {:.4f}", cell.spec, point.value, point.density);
  } else {
    point.value = cell.summary.accuracy;
    point.low = cell.summary.interval.low;
    point.high = cell.summary.interval.high;
    point.label = fmt::format("{}: accuracy {:.3f} ({:.3f} to {:.3f}), density {:.4f}", cell.spec, point.value, point.low,
                              point.high, point.density);
  }
  return point;
}

std::string Pictures(const evals::CompareRun& run, const evals::CompareResult& result) {
  std::vector<Picture> pictures;
  for (const evals::CompareRow& row : result.rows) {
    const std::string title = fmt::format("{}, {} tokens", row.cell.task, row.cell.context);
    auto picture = std::find_if(pictures.begin(), pictures.end(), [&](const Picture& p) { return p.title == title; });
    if (picture == pictures.end()) {
      pictures.push_back({title, row.cell.nll ? "perplexity" : "accuracy", !row.cell.nll.has_value(), {}});
      picture = pictures.end() - 1;
    }
    picture->points.push_back(PointOf(run, row.cell));
  }
  std::string html = "<div class=\"pictures\">\n";
  for (const Picture& picture : pictures) html += DrawPicture(picture);
  return html + "</div>\n";
}

std::string Legend(const evals::CompareRun& run) {
  std::string html = "<p class=\"legend\">";
  for (size_t i = 0; i < run.policies.size(); ++i) {
    html += fmt::format("<span><i class=\"dot\" style=\"background:{}\"></i>{}</span> ", SeriesColour(i),
                        EscapeHtml(run.policies[i]));
  }
  return html + "</p>\n";
}

std::string Row(const std::vector<std::string>& cells, const char* tag) {
  std::string html = "<tr>";
  for (const std::string& cell : cells) html += fmt::format("<{0}>{1}</{0}>", tag, EscapeHtml(cell));
  return html + "</tr>\n";
}

std::string TableRow(const evals::CompareRow& row) {
  const evals::Summary& summary = row.cell.summary;
  return Row(
      {row.cell.task, fmt::format("{}", row.cell.context), row.cell.spec,
       row.cell.nll ? fmt::format("perplexity {:.3f}", std::exp(*row.cell.nll)) : fmt::format("{:.3f}", summary.accuracy),
       row.cell.nll ? "" : fmt::format("{:.3f} to {:.3f}", summary.interval.low, summary.interval.high),
       row.difference ? DifferenceText(*row.difference) : "", fmt::format("{:.4f}", summary.density),
       row.cell.nll ? "" : fmt::format("{:.4f}", summary.density_decode),
       summary.recall_mean ? fmt::format("{:.4f}", *summary.recall_mean) : "", fmt::format("{:.3f}", summary.prefill_seconds),
       row.cell.nll ? "" : fmt::format("{:.1f}", summary.decode_tokens_per_second), FormatBytes(summary.kv_bytes)},
      "td");
}

}  // namespace

std::string ComparePage(const engine::Engine& engine, const evals::CompareRun& run, const evals::CompareResult& result) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>Policies compared</title>\n<style>";
  html += kStyle;
  html += "</style></head><body>\n<h1>Attention policies on the same samples</h1>\n";
  html += fmt::format("<p>Model: {}. {} samples of each task and context, seed {}. damask {}, {} kernels, {} threads.</p>\n",
                      EscapeHtml(ModelName(engine)), run.samples, run.seed, EscapeHtml(VersionString()),
                      TargetName(engine.target()), engine.threads());
  html +=
      "<p>Density is the share of key positions that a policy computes, 1 being full attention: further left is cheaper. "
      "Higher is better for accuracy, lower for perplexity. Bars are 95 % intervals (Wilson). \"To the first\" is the "
      "difference to the first policy on the same samples (nats a token for perplexity) with its 95 % interval: where it "
      "holds 0, the samples do not tell the two apart.</p>\n";
  html += Legend(run) + Pictures(run, result);
  html += "<h2>All figures</h2>\n<div class=\"wide\"><table><thead>";
  html += Row({"task", "context", "policy", "accuracy", "95 %", "to the first", "density", "decode density", "recall",
               "prefill s", "decode tokens/s", "KV cache"},
              "th");
  html += "</thead><tbody>\n";
  for (const evals::CompareRow& row : result.rows) html += TableRow(row);
  html += "</tbody></table></div>\n";
  for (const std::string& note : result.notes) html += fmt::format("<p class=\"note\">{}</p>\n", EscapeHtml(note));
  return html + "</body></html>\n";
}

}  // namespace damask::report
