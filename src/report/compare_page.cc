#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <vector>

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
.wide { max-height: 85vh; overflow: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1em; }
svg { width: 100%; height: auto; background: var(--soft); border-radius: 6px; }
svg text { font-size: 11px; fill: CanvasText; } svg .title { font-size: 13px; font-weight: 600; }
svg .grid { stroke: var(--line); }
.legend span { margin-right: 1.4em; white-space: nowrap; }
svg.mark { width: 0.9em; height: 0.9em; background: none; margin-right: 0.4em; vertical-align: -0.1em; }
.note { color: GrayText; }
)";

size_t SeriesOf(const evals::CompareRun& run, const std::string& policy) {
  return static_cast<size_t>(std::find(run.policies.begin(), run.policies.end(), policy) - run.policies.begin());
}

// What a picture shows of a cell; absent where there is nothing.
enum class Figure { kQuality, kRecall, kStrong, kSeconds };

// What the audit knows: of decoded tokens where only they choose keys, as everything is kept of the prompt.
std::optional<double> AuditFigure(const evals::Summary& summary, Figure figure) {
  const bool decode = summary.only_decode_is_sparse();
  if (figure == Figure::kRecall) return decode ? summary.recall_decode : summary.recall_mean;
  return decode ? summary.strong_key_hit_decode : summary.strong_key_hit;
}

std::optional<PicturePoint> PointOf(const evals::CompareRun& run, const evals::Cell& cell, Figure figure) {
  const evals::Summary& summary = cell.summary;
  PicturePoint point;
  point.series = SeriesOf(run, cell.policy);
  // A prefill's seconds are those of its own density.
  const bool decode = summary.only_decode_is_sparse() && figure != Figure::kSeconds;
  point.density = decode ? *summary.density_decode : summary.density;
  std::string what;
  if (figure == Figure::kRecall || figure == Figure::kStrong) {
    const std::optional<double> value = AuditFigure(summary, figure);
    if (!value) return std::nullopt;
    point.value = *value;
    what = fmt::format("{} {:.3f}", figure == Figure::kRecall ? "recall" : "strong keys", point.value);
  } else if (figure == Figure::kSeconds) {
    if (cell.nll) return std::nullopt;  // logits of all positions and their logarithms are in it
    point.value = summary.prefill_seconds;
    what = fmt::format("{:.3f} s", point.value);
  } else if (cell.nll) {
    point.value = std::exp(*cell.nll);
    what = fmt::format("perplexity {:.3f}", point.value);
  } else {
    point.value = summary.accuracy;
    what = fmt::format("accuracy {:.3f} ({:.3f} to {:.3f})", point.value, summary.interval.low, summary.interval.high);
  }
  const bool whisker = figure == Figure::kQuality && !cell.nll;
  point.low = whisker ? summary.interval.low : point.value;
  point.high = whisker ? summary.interval.high : point.value;
  point.label = fmt::format("{}: {}, {}density {:.4f}", cell.spec, what, decode ? "decode " : "", point.density);
  return point;
}

std::string AxisOf(Figure figure, bool perplexity) {
  switch (figure) {
    case Figure::kQuality: return perplexity ? "perplexity" : "accuracy";
    case Figure::kRecall: return "recall";
    case Figure::kStrong: return "strong keys";
    case Figure::kSeconds: return "seconds of a prefill";
  }
  return "";
}

Plot PictureOf(const evals::CompareRun& run, const std::vector<const evals::Cell*>& cells, Figure figure) {
  const evals::Cell& first = *cells.front();
  Plot picture;
  picture.axis = AxisOf(figure, first.nll.has_value());
  picture.title = fmt::format("{}, {} tokens: {}", first.task, first.context, picture.axis);
  picture.share = figure != Figure::kSeconds && (figure != Figure::kQuality || !first.nll);
  picture.from_zero = figure == Figure::kSeconds;
  for (const evals::Cell* cell : cells) {
    if (std::optional<PicturePoint> point = PointOf(run, *cell, figure)) picture.points.push_back(*std::move(point));
  }
  return picture;
}

// Up to four for each task and context. Rows of one task and context stand together.
std::string Pictures(const evals::CompareRun& run, const evals::CompareResult& result) {
  std::string html;
  for (size_t begin = 0, end = 0; begin < result.rows.size(); begin = end) {
    std::vector<const evals::Cell*> cells;
    const evals::Cell& first = result.rows[begin].cell;
    for (;
         end < result.rows.size() && result.rows[end].cell.task == first.task && result.rows[end].cell.context == first.context;
         ++end) {
      cells.push_back(&result.rows[end].cell);
    }
    html += fmt::format("<h2>{}, {} tokens</h2>\n<div class=\"pictures\">\n", EscapeHtml(first.task), first.context);
    for (const Figure figure : {Figure::kQuality, Figure::kRecall, Figure::kStrong, Figure::kSeconds}) {
      const Plot picture = PictureOf(run, cells, figure);
      if (!picture.points.empty()) html += DrawPicture(picture);
    }
    html += "</div>\n";
  }
  return html;
}

std::string Legend(const evals::CompareRun& run) {
  std::string html = "<p class=\"legend\">";
  for (size_t i = 0; i < run.policies.size(); ++i) {
    html += fmt::format("<span><svg class=\"mark\" aria-hidden=\"true\" viewBox=\"-6 -6 12 12\">{}</svg>{}</span> ",
                        SeriesMark(i, 0, 0, ""), EscapeHtml(run.policies[i]));
  }
  return html + "</p>\n";
}

std::string Row(const std::vector<std::string>& cells) {
  std::string html = "<tr>";
  for (const std::string& cell : cells) html += fmt::format("<td>{}</td>", EscapeHtml(cell));
  return html + "</tr>\n";
}

std::string Heads(std::initializer_list<const char*> names) {
  std::string html = "<tr>";
  for (const char* name : names) html += fmt::format("<th scope=\"col\">{}</th>", name);
  return html + "</tr>\n";
}

std::string FigureText(const std::optional<double>& figure) { return figure ? fmt::format("{:.4f}", *figure) : ""; }

std::string TableRow(const evals::CompareRow& row) {
  const evals::Summary& summary = row.cell.summary;
  return Row(
      {row.cell.task, fmt::format("{}", row.cell.context), row.cell.spec,
       row.cell.density_target ? fmt::format("{}", *row.cell.density_target) : "", fmt::format("{}", summary.samples),
       row.cell.nll ? fmt::format("perplexity {:.3f}", std::exp(*row.cell.nll)) : fmt::format("{:.3f}", summary.accuracy),
       row.cell.nll ? "" : fmt::format("{:.3f} to {:.3f}", summary.interval.low, summary.interval.high),
       row.difference ? DifferenceText(*row.difference) : "", fmt::format("{:.4f}", summary.density),
       FigureText(summary.density_decode), FigureText(summary.recall_mean), FigureText(summary.strong_key_hit),
       FigureText(summary.output_error), FigureText(summary.recall_decode), FigureText(summary.strong_key_hit_decode),
       row.cell.nll ? "" : fmt::format("{:.3f}", summary.prefill_seconds),
       summary.decode_tokens_per_second ? fmt::format("{:.1f}", *summary.decode_tokens_per_second) : "",
       FormatBytes(summary.kv_bytes)});
}

}  // namespace

std::string ComparePage(const engine::Engine& engine, const evals::CompareRun& run, const evals::CompareResult& result) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>Policies compared</title>\n<style>";
  html += kStyle;
  html += "</style></head><body>\n<h1>Attention policies on the same samples</h1>\n";
  html += fmt::format("<p>Model: {}. Up to {} of each task and context, seed {}. damask {}, {} kernels, KV cache {}, {}.</p>\n",
                      EscapeHtml(ModelName(engine)), Counted(run.samples, "sample"), run.seed, EscapeHtml(VersionString()),
                      TargetName(engine.target()), kernels::KvTypeName(engine.kv_type()), Counted(engine.threads(), "thread"));
  html +=
      "<p>Density is the share of key positions that a policy computes, as measured, 1 being full attention: further left is "
      "cheaper. Recall is the part of full attention's mass that was kept, strong keys the share of keys that hold much of a "
      "row's attention by themselves and were computed, on a sample of rows of the prompts. Policies that read prompts densely "
      "stand at their decode density, with "
      "recall and strong keys of decoded tokens. "
      "Higher is better for accuracy, lower for perplexity. Bars are 95 % intervals (Wilson). \"To the first\" is the "
      "difference to the first policy at the same density on the same samples (nats a token for perplexity) with its 95 % "
      "interval: where it "
      "holds 0, the samples do not tell the two apart.</p>\n";
  html += fmt::format("<p>{}</p>\n", EscapeHtml(AuditSentence(run)));
  if (const std::string prose = ProseSentence(run); !prose.empty()) html += fmt::format("<p>{}</p>\n", EscapeHtml(prose));
  html += Legend(run) + Pictures(run, result);
  html += "<h2>All figures</h2>\n<div class=\"wide\"><table><thead>";
  html += Heads({"task", "context", "policy", "asked density", "samples", "accuracy", "95 %", "to the first", "density",
                 "decode density", "recall", "strong", "error", "decode recall", "decode strong", "prefill s",
                 "decode tokens/s", "KV cache"});
  html += "</thead><tbody>\n";
  for (const evals::CompareRow& row : result.rows) html += TableRow(row);
  html += "</tbody></table></div>\n";
  for (const std::string& note : result.notes) html += fmt::format("<p class=\"note\">{}</p>\n", EscapeHtml(note));
  return html + "</body></html>\n";
}

}  // namespace damask::report
