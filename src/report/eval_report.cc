#include "report/eval_report.h"

#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>

#include "base/text.h"
#include "evals/score.h"
#include "report/or_null.h"
#include "report/process.h"
#include "report/table.h"

namespace damask::report {
namespace {

constexpr const char* kNoSample = "no sample was finished\n";

void SetNull(std::initializer_list<const char*> keys, Json* object) {
  for (const char* key : keys) (*object)[key] = nullptr;
}

// Answers to questions whose context did not fit.
int64_t Truncated(const evals::JsonlResult& result) {
  return std::count_if(result.answers.begin(), result.answers.end(),
                       [](const evals::JsonlAnswer& answer) { return answer.truncated; });
}

Json DepthsJson(const evals::ContextResult& result) {
  Json depths = Json::array();
  for (const evals::DepthSummary& depth : result.depths) {
    Json object = {{"depth", depth.depth},
                   {"samples", depth.samples},
                   {"accuracy", depth.accuracy},
                   {"ci_low", depth.interval.low},
                   {"ci_high", depth.interval.high}};
    if (depth.samples == 0) SetNull({"accuracy", "ci_low", "ci_high"}, &object);
    depths.push_back(std::move(object));
  }
  return depths;
}

Json ExampleJson(uint64_t context, const evals::AskedSample& sample) {
  return {{"context", context},
          {"depth", OrNull(sample.placement.depth)},
          {"question", sample.question},
          {"prefix", sample.prefix},
          {"answer", SanitizeUtf8(sample.answered.text)},
          {"expected", sample.expected},
          {"score", sample.answered.score},
          {"prompt_tokens", sample.answered.prompt_tokens}};
}

void AddRun(const engine::Engine& engine, Json* object) {
  (*object)["model"] = ModelName(engine);
  (*object)["policy"] = engine.policy().Spec();
  (*object)["target"] = TargetName(engine.target());
  (*object)["kv_type"] = kernels::KvTypeName(engine.kv_type());
  (*object)["threads"] = engine.threads();
  (*object)["peak_rss_bytes"] = PeakResidentBytes();
}

}  // namespace

Json SummaryJson(const evals::Summary& summary) {
  Json object = {{"samples", summary.samples},
                 {"accuracy", summary.accuracy},
                 {"ci_low", summary.interval.low},
                 {"ci_high", summary.interval.high},
                 {"density", summary.density},
                 {"density_decode", OrNull(summary.density_decode)},
                 {"recall_mean", OrNull(summary.recall_mean)},
                 {"strong_key_hit", OrNull(summary.strong_key_hit)},
                 {"output_error", OrNull(summary.output_error)},
                 {"recall_decode", OrNull(summary.recall_decode)},
                 {"strong_key_hit_decode", OrNull(summary.strong_key_hit_decode)},
                 {"output_error_decode", OrNull(summary.output_error_decode)},
                 {"prompt_tokens", summary.prompt_tokens},
                 {"prefill_s", summary.prefill_seconds},
                 {"rows_released", summary.released_rows},
                 {"decode_tokens_per_s", OrNull(summary.decode_tokens_per_second)},
                 {"kv_bytes", summary.kv_bytes}};
  if (summary.samples == 0) {
    SetNull({"accuracy", "ci_low", "ci_high", "density", "prompt_tokens", "prefill_s", "rows_released", "kv_bytes"}, &object);
  }
  return object;
}

Json TaskRunJson(const engine::Engine& engine, const evals::TaskRun& run, const evals::TaskResult& result, Examples examples) {
  Json results = Json::array();
  Json kept = Json::array();
  for (const evals::ContextResult& context : result.contexts) {
    Json row = {{"context", context.context}};
    row.update(SummaryJson(context.summary));
    row["depths"] = DepthsJson(context);
    results.push_back(std::move(row));
    if (examples == Examples::kNone) continue;
    for (const evals::AskedSample& sample : context.samples) kept.push_back(ExampleJson(context.context, sample));
  }
  Json object = {{"task", texts::InfoOf(run.task).name}, {"seed", run.seed}, {"results", std::move(results)}};
  if (examples == Examples::kKeep) object["examples"] = std::move(kept);
  AddRun(engine, &object);
  return object;
}

std::string AccuracyText(double accuracy, const evals::Interval& interval) {
  return fmt::format("{:.3f} ({:.3f}-{:.3f})", accuracy, interval.low, interval.high);
}

std::string TaskRunText(const evals::TaskRun& run, const evals::TaskResult& result) {
  Table table({"context", "depth", "samples", "accuracy (95 %)", "density", "recall", "prefill s", "decode tokens/s", "KV"});
  uint64_t finished = 0;
  for (const evals::ContextResult& context : result.contexts) {
    const evals::Summary& summary = context.summary;
    if (summary.samples == 0) continue;
    table.Add({fmt::format("{}", context.context), "all", fmt::format("{}", summary.samples),
               AccuracyText(summary.accuracy, summary.interval), fmt::format("{:.4f}", summary.density),
               summary.recall_mean ? fmt::format("{:.4f}", *summary.recall_mean) : "-",
               fmt::format("{:.3f}", summary.prefill_seconds),
               summary.decode_tokens_per_second ? fmt::format("{:.1f}", *summary.decode_tokens_per_second) : "-",
               FormatBytes(summary.kv_bytes)});
    finished += summary.samples;
    if (run.depths.empty()) continue;
    for (const evals::DepthSummary& depth : context.depths) {
      if (depth.samples == 0) continue;
      table.Add({"", fmt::format("{:g}", depth.depth), fmt::format("{}", depth.samples),
                 AccuracyText(depth.accuracy, depth.interval), "", "", "", "", ""});
    }
  }
  return finished == 0 ? kNoSample : table.ToString();
}

std::string JsonlRunText(const std::vector<texts::Sample>& samples, const evals::JsonlResult& result) {
  const evals::Summary& summary = result.summary;
  if (summary.samples == 0) return kNoSample;
  const auto truncated = Truncated(result);
  return fmt::format("{} {} over {}{}\n", evals::MetricName(samples.front().metric),
                     AccuracyText(summary.accuracy, summary.interval), Counted(summary.samples, "sample"),
                     truncated == 0 ? "" : fmt::format(", {} of them without the middle of their context", truncated));
}

Json JsonlRunJson(const engine::Engine& engine, const std::vector<texts::Sample>& samples, const evals::JsonlResult& result,
                  Examples examples) {
  const Json summary = SummaryJson(result.summary);
  Json object = {{"metric", evals::MetricName(samples.front().metric)}, {"score", summary["accuracy"]}};
  object.update(summary);
  Json kept = Json::array();
  for (const evals::JsonlAnswer& answer : result.answers) {
    const texts::Sample& sample = samples[answer.sample];
    kept.push_back({{"sample", answer.sample},
                    {"answer", SanitizeUtf8(answer.answered.text)},
                    {"expected", sample.expected},
                    {"score", answer.answered.score},
                    {"truncated", answer.truncated},
                    {"prompt_tokens", answer.answered.prompt_tokens}});
  }
  object["truncated"] = Truncated(result);
  if (examples == Examples::kKeep) object["examples"] = std::move(kept);
  AddRun(engine, &object);
  return object;
}

}  // namespace damask::report
