// The questions of one cell of a comparison, one at a time.
#pragma once

#include <atomic>
#include <optional>
#include <vector>

#include "base/status.h"
#include "evals/compare.h"

namespace damask::evals {

class CellQuestions {
 public:
  // Errors: InvalidArgument for an unknown task, a context too short for a window, a text that has no whole window.
  // `prompts` is of the same engine; neither is owned, nor is `run`.
  static Result<CellQuestions> Make(engine::Engine* engine, const CompareRun& run, const Prompts& prompts, const Cell& cell);
  // Whether the first question can be made: where it cannot, no other can. Errors as of Ask.
  Status Check() const;

  // run.samples; for perplexity of a text as many as it has windows, if those are fewer.
  size_t size() const { return size_; }
  // Asks with the engine's policy. The same question for every policy, and whatever size() is. Errors: those of evals::Ask and
  // of engine::Perplexity, Cancelled among them.
  Result<Answered> Ask(size_t index, const std::atomic<bool>* cancel) const;

 private:
  CellQuestions(engine::Engine* engine, const CompareRun& run, const Prompts& prompts, uint64_t context)
      : engine_(engine), run_(&run), prompts_(&prompts), context_(context), size_(run.samples) {}
  Status CutWindows();
  Result<Answered> AskWindow(size_t index, const std::atomic<bool>* cancel) const;

  engine::Engine* engine_;
  const CompareRun* run_;
  const Prompts* prompts_;
  uint64_t context_;
  size_t size_;
  std::optional<TaskRun> task_;  // absent: perplexity
  std::vector<Placement> placements_;
  std::vector<std::vector<engine::TokenId>> windows_;  // of the run's own text
};

}  // namespace damask::evals
