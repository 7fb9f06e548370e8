#include "evals/run.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "base/timer.h"
#include "texts/random.h"

namespace damask::evals {
namespace {

constexpr size_t kDepthBands = 5;

// Multiples of the golden ratio fill [0, 1) evenly however many are taken.
double SpreadDepth(uint64_t index) {
  const double turns = static_cast<double>(index + 1) / std::numbers::phi;
  return turns - std::floor(turns);
}

Status Validate(const engine::Engine& engine, const TaskRun& run) {
  const texts::TaskInfo& info = texts::InfoOf(run.task);
  if (!run.depths.empty() && !info.has_depth) {
    return InvalidArgument(fmt::format("--depths: {} has no single fact to place", info.name));
  }
  if (run.contexts.empty() || run.samples == 0) return InvalidArgument("an evaluation wants a context and a sample at least");
  for (const double depth : run.depths) {
    if (std::count(run.depths.begin(), run.depths.end(), depth) > 1) {
      return InvalidArgument(fmt::format("--depths: {} is there twice", depth));
    }
  }
  return CheckContexts(engine, run.contexts);
}

DepthSummary SummariseDepth(double depth, double within, const std::vector<AskedSample>& samples) {
  DepthSummary summary;
  summary.depth = depth;
  double score = 0;
  for (const AskedSample& sample : samples) {
    if (std::abs(sample.placement.depth.value_or(2) - depth) > within) continue;
    score += sample.answered.score;
    ++summary.samples;
  }
  summary.accuracy = summary.samples == 0 ? 0 : score / static_cast<double>(summary.samples);
  summary.interval = WilsonInterval(score, summary.samples);
  return summary;
}

std::vector<DepthSummary> SummariseDepths(const TaskRun& run, const std::vector<AskedSample>& samples) {
  std::vector<DepthSummary> depths;
  if (!texts::InfoOf(run.task).has_depth) return depths;
  for (const double depth : run.depths) depths.push_back(SummariseDepth(depth, 0, samples));
  for (size_t band = 0; run.depths.empty() && band < kDepthBands; ++band) {
    const double width = 1.0 / kDepthBands;
    DepthSummary summary = SummariseDepth((static_cast<double>(band) + 0.5) * width, width / 2, samples);
    if (summary.samples > 0) depths.push_back(summary);
  }
  return depths;
}

void Finish(const TaskRun& run, ContextResult* result) {
  std::vector<Answered> answers;
  answers.reserve(result->samples.size());
  for (const AskedSample& sample : result->samples) answers.push_back(sample.answered);
  result->summary = Summarise(answers);
  result->depths = SummariseDepths(run, result->samples);
}

}  // namespace

Status CheckContexts(const engine::Engine& engine, const std::vector<uint64_t>& contexts) {
  for (const uint64_t context : contexts) {
    if (std::count(contexts.begin(), contexts.end(), context) > 1) {
      return InvalidArgument(fmt::format("--context: {} is there twice", context));
    }
    if (context > engine.context()) {
      const bool own = engine.context() == engine.model().config().context;
      return InvalidArgument(
          fmt::format("--context is {}, the {} is {}", context, own ? "model's context" : "context (-c)", engine.context()));
    }
  }
  return {};
}

std::vector<Placement> Placements(const TaskRun& run) {
  const bool has_depth = texts::InfoOf(run.task).has_depth;
  std::vector<Placement> placements;
  for (uint64_t i = 0; i < run.samples; ++i) {
    const uint64_t seed = texts::MixSeed(run.seed, i);
    if (!has_depth) {
      placements.push_back({seed, std::nullopt});
    } else if (run.depths.empty()) {
      placements.push_back({seed, SpreadDepth(i)});
    }
    for (const double depth : run.depths) placements.push_back({seed, depth});
  }
  return placements;
}

Result<texts::Sample> MakeTaskSample(const Prompts& prompts, const TaskRun& run, uint64_t context, const Placement& placement) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t overhead, prompts.Overhead());
  const uint64_t taken = overhead + prompts.AnswerBudget(texts::AnswerTokens(run.task, run.options));
  texts::TaskOptions options = run.options;
  options.tokens = context - std::min(context, taken);
  options.seed = placement.seed;
  options.depth = placement.depth.value_or(0.5);
  Result<texts::Sample> sample = texts::MakeSample(run.task, options, prompts.Count());
  if (!sample.ok())
    return sample.status().At(fmt::format("--context {}, of which {} are kept for template and answer", context, taken));
  return sample;
}

Result<AskedSample> AskPlacement(engine::Engine* engine, const Prompts& prompts, const TaskRun& run, uint64_t context,
                                 const Placement& placement, const std::atomic<bool>* cancel) {
  DAMASK_ASSIGN_OR_RETURN(texts::Sample sample, MakeTaskSample(prompts, run, context, placement));
  const uint64_t max_tokens = prompts.AnswerBudget(texts::AnswerTokens(run.task, run.options));
  AskedSample asked;
  DAMASK_ASSIGN_OR_RETURN(asked.answered, Ask(engine, prompts, sample, max_tokens, cancel));
  asked.placement = placement;
  asked.question = std::move(sample.question);
  asked.prefix = prompts.chat() ? "" : std::move(sample.prefix);
  asked.expected = std::move(sample.expected);
  return asked;
}

Result<TaskResult> RunTask(engine::Engine* engine, const TaskRun& run, const EvalProgress& progress,
                           const std::atomic<bool>* cancel) {
  DAMASK_RETURN_IF_ERROR(Validate(*engine, run));
  const Prompts prompts(engine, run.form);
  const std::vector<Placement> placements = Placements(run);
  uint64_t total = 0;
  for (const uint64_t context : run.contexts) total += context * placements.size();
  uint64_t done = 0;
  const Timer timer;
  TaskResult result;
  // What is wrong with a context is to be known before others have been asked about.
  for (const uint64_t context : run.contexts) {
    DAMASK_RETURN_IF_ERROR(MakeTaskSample(prompts, run, context, placements.front()).status());
  }
  for (const uint64_t context : run.contexts) {
    ContextResult& cell = result.contexts.emplace_back();
    cell.context = context;
    for (const Placement& placement : placements) {
      Result<AskedSample> asked = AskPlacement(engine, prompts, run, context, placement, cancel);
      if (asked.status().code() == StatusCode::kCancelled) {
        result.cancelled = true;
        break;
      }
      DAMASK_RETURN_IF_ERROR(asked.status());
      cell.samples.push_back(std::move(*asked));
      done += context;
      if (progress) progress(done, total, timer.Seconds());
    }
    Finish(run, &cell);
    if (result.cancelled) break;
  }
  return result;
}

}  // namespace damask::evals
