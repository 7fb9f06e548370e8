// Questions of other benchmarks: one JSON object a line.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "evals/ask.h"
#include "evals/run.h"
#include "evals/summary.h"

namespace damask::evals {

// {"context", "question", "answers"}: texts, and a list of texts of which each is right (one text is a list of one). As in
// LongBench and LV-Eval "input" may stand for "question", and "answer_keywords" are the keywords of kLvEval; other keys are
// ignored; empty lines, too. The prompt is the context, the question behind "Question: ", and "Answer:".
// Errors: InvalidArgument or BadFormat naming the line; no line at all.
Result<std::vector<texts::Sample>> ReadJsonlSamples(std::string_view text, texts::Metric metric);

struct JsonlRun {
  uint64_t context = 0;  // of prompt and answer; 0: the engine's
  uint64_t max_tokens = 64;
  PromptForm form = PromptForm::kAuto;
};

struct JsonlAnswer {
  size_t sample = 0;       // its place in the file, from 0
  bool truncated = false;  // the middle of its context was left out
  Answered answered;
};

struct JsonlResult {
  std::vector<JsonlAnswer> answers;
  Summary summary;
  bool cancelled = false;
};

// A context that is too long loses its middle, as in LongBench. Errors: InvalidArgument where question and answer alone do not
// fit; those of Ask.
Result<JsonlResult> RunJsonl(engine::Engine* engine, const std::vector<texts::Sample>& samples, const JsonlRun& run,
                             const EvalProgress& progress, const std::atomic<bool>* cancel);

}  // namespace damask::evals
