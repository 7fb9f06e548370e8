#include "report/compare_report.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "evals/compare_plan.h"
#include "report/eval_report.h"
#include "report/or_null.h"
#include "report/process.h"
#include "report/table.h"

namespace damask::report {
namespace {

Json RowJson(const evals::CompareRow& row, Scores scores) {
  const evals::Cell& cell = row.cell;
  Json object = {{"policy", SanitizeUtf8(cell.policy)},
                 {"spec", SanitizeUtf8(cell.spec)},
                 {"density_target", OrNull(cell.density_target)},
                 {"task", cell.task},
                 {"context", cell.context}};
  object.update(SummaryJson(cell.summary));
  if (cell.nll) {
    // A perplexity is no accuracy.
    for (const char* key : {"accuracy", "ci_low", "ci_high"}) object[key] = nullptr;
    object["prefill_s"] = nullptr;  // logits of all positions and their logarithms are in it
  }
  object["nll"] = OrNull(cell.nll);
  object["perplexity"] = cell.nll ? Json(std::exp(*cell.nll)) : Json(nullptr);
  object["difference_to"] = row.difference ? Json(SanitizeUtf8(row.difference_to)) : Json(nullptr);
  object["difference"] = row.difference ? Json(row.difference->mean) : Json(nullptr);
  const bool interval = row.difference && row.difference->interval;
  object["difference_low"] = interval ? Json(row.difference->interval->low) : Json(nullptr);
  object["difference_high"] = interval ? Json(row.difference->interval->high) : Json(nullptr);
  if (scores == Scores::kKeep) object["scores"] = cell.scores();
  return object;
}

// What ran beside the sparse policies, in what their times have in them.
Json AuditJson(const model::AuditOptions& audit) {
  return {{"prefill_every", audit.prefill_every},
          {"rarer_from", audit.rarer_from},
          {"decode_every", audit.decode_every},
          {"floor", audit.floor < 0 ? Json(nullptr) : Json(audit.floor)}};
}

std::string FigureText(const std::optional<double>& figure) { return figure ? fmt::format("{:.4f}", *figure) : "-"; }

// Whose text the perplexity is of; absent where there is none.
std::optional<std::string> PerplexityText(const evals::CompareRun& run) {
  if (std::find(run.tasks.begin(), run.tasks.end(), evals::kPerplexity) == run.tasks.end()) return std::nullopt;
  return run.text.empty() ? "built-in, permuted paragraphs" : "given";
}

}  // namespace

std::string AuditSentence(const evals::CompareRun& run) {
  const model::AuditOptions& audit = run.audit;
  if (audit.prefill_every == 0) return "No audit ran in prefills.";
  return fmt::format(
      "Prefill times of sparse policies have the audit in them, full attention's none: one row in {}{} was also computed "
      "densely "
      "(--audit 0 leaves that out).",
      audit.prefill_every, audit.rarer_from == 0 ? "" : fmt::format(", rarer from position {} on,", audit.rarer_from));
}

std::string ProseSentence(const evals::CompareRun& run) {
  if (!PerplexityText(run)) return "";
  if (!run.text.empty()) return "Perplexity is of consecutive windows of the given text.";
  return "Perplexity is of the program's own prose: the same paragraphs in every window, each time in another order, from "
         "which "
         "calibration's texts are drawn as well. Windows are more alike than those of other texts (-f FILE).";
}

std::string DifferenceText(const evals::PairedDifference& difference) {
  std::string mean = fmt::format("{:+.3f}", difference.mean);
  if (!difference.interval) return mean;
  return fmt::format("{} ({:+.3f} to {:+.3f})", mean, difference.interval->low, difference.interval->high);
}

Json CompareJson(const engine::Engine& engine, const evals::CompareRun& run, const evals::CompareResult& result,
                 Scores scores) {
  Json rows = Json::array();
  for (const evals::CompareRow& row : result.rows) rows.push_back(RowJson(row, scores));
  Json notes = Json::array();
  for (const std::string& note : result.notes) notes.push_back(SanitizeUtf8(note));
  return {{"model", ModelName(engine)},
          {"target", TargetName(engine.target())},
          {"kv_type", kernels::KvTypeName(engine.kv_type())},
          {"threads", engine.threads()},
          {"samples", run.samples},
          {"seed", run.seed},
          {"audit", AuditJson(run.audit)},
          {"perplexity_text", OrNull(PerplexityText(run))},
          {"rows", std::move(rows)},
          {"notes", std::move(notes)},
          {"peak_rss_bytes", PeakResidentBytes()}};
}

std::string CompareText(const evals::CompareRun& run, const evals::CompareResult& result) {
  Table table({"task", "context", "policy", "samples", "accuracy (95 %)", "to the first (95 %)", "asked", "density", "decode",
               "recall", "strong", "prefill s", "tokens/s", "KV"});
  for (const evals::CompareRow& row : result.rows) {
    const evals::Summary& summary = row.cell.summary;
    table.Add({row.cell.task, fmt::format("{}", row.cell.context), SanitizeUtf8(row.cell.spec),
               fmt::format("{}", summary.samples),
               row.cell.nll ? fmt::format("perplexity {:.3f}", std::exp(*row.cell.nll))
                            : AccuracyText(summary.accuracy, summary.interval),
               row.difference ? DifferenceText(*row.difference) : "-",
               row.cell.density_target ? fmt::format("{}", *row.cell.density_target) : "-",
               fmt::format("{:.4f}", summary.density), FigureText(summary.density_decode), FigureText(summary.recall_mean),
               FigureText(summary.strong_key_hit), row.cell.nll ? "-" : fmt::format("{:.3f}", summary.prefill_seconds),
               summary.decode_tokens_per_second ? fmt::format("{:.1f}", *summary.decode_tokens_per_second) : "-",
               FormatBytes(summary.kv_bytes)});
  }
  const std::string prose = ProseSentence(run);
  return table.ToString() + prose + (prose.empty() ? "" : "\n");
}

}  // namespace damask::report
