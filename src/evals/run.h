// A generated task over contexts, samples and depths.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "evals/ask.h"
#include "evals/summary.h"
#include "texts/tasks.h"

namespace damask::evals {

// Tokens read so far and in all, seconds so far.
using EvalProgress = std::function<void(uint64_t done, uint64_t total, double seconds)>;

struct TaskRun {
  texts::Task task = texts::Task::kLines;
  texts::TaskOptions options;  // keys, values, chains, hops, words; the rest comes from here:
  std::vector<uint64_t> contexts = {4096};
  uint64_t samples = 20;  // of each context; with `depths` of each depth
  uint64_t seed = 1;
  std::vector<double> depths;  // empty: spread evenly over the text
  PromptForm form = PromptForm::kAuto;
};

// A sample's place in its run: the same for every policy and every context.
struct Placement {
  uint64_t seed = 0;
  std::optional<double> depth;  // absent for tasks that have none
};

// All placements of one context, in their order; the first n of a longer run are those of a run of n (without `depths`).
std::vector<Placement> Placements(const TaskRun& run);

struct AskedSample {
  Placement placement;
  std::string question;
  std::vector<std::string> expected;
  std::string prefix;
  Answered answered;
};

// The samples whose depth is `depth`; without TaskRun::depths those within 0.1 of it (five bands).
struct DepthSummary {
  double depth = 0;
  uint64_t samples = 0;
  double accuracy = 0;
  Interval interval;
};

struct ContextResult {
  uint64_t context = 0;
  Summary summary;
  std::vector<DepthSummary> depths;
  std::vector<AskedSample> samples;
};

struct TaskResult {
  std::vector<ContextResult> contexts;
  bool cancelled = false;  // what had been finished is there
};

// InvalidArgument for one that is there twice or longer than the engine's.
Status CheckContexts(const engine::Engine& engine, const std::vector<uint64_t>& contexts);

// A prompt and room for its answer take at most `context` tokens. Errors: InvalidArgument for depths of a task without, for a
// depth that is there twice, for a context that is too short for the task; those of CheckContexts and of Ask.
Result<TaskResult> RunTask(engine::Engine* engine, const TaskRun& run, const EvalProgress& progress,
                           const std::atomic<bool>* cancel);

// The sample of a placement, to be asked with AnswerBudget(AnswerTokens()) tokens.
Result<texts::Sample> MakeTaskSample(const Prompts& prompts, const TaskRun& run, uint64_t context, const Placement& placement);

// Makes the sample of a placement and asks it. Errors: those of MakeTaskSample and of Ask.
Result<AskedSample> AskPlacement(engine::Engine* engine, const Prompts& prompts, const TaskRun& run, uint64_t context,
                                 const Placement& placement, const std::atomic<bool>* cancel);

}  // namespace damask::evals
