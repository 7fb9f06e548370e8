#include "evals/cell_questions.h"

#include <utility>

#include <fmt/format.h>

#include "engine/evaluate.h"
#include "evals/compare_plan.h"
#include "texts/prose.h"
#include "texts/random.h"

namespace damask::evals {
namespace {

using engine::TokenId;

// Of windows of the program's prose. Neighbouring seeds have no window in common, and none is a text of calibration, which is
// drawn from the seed plus a number (engine/calibration_texts.h).
uint64_t ProseSeed(uint64_t seed, size_t index) {
  constexpr uint64_t kOfPerplexity = 0x7065727072735f32;
  return texts::MixSeed(seed ^ kOfPerplexity, index);
}

// BOS stands before every window.
size_t WindowTokens(const engine::Engine& engine, uint64_t context) {
  return context - (engine.tokenizer().special().puts_bos() ? 1 : 0);
}

}  // namespace

Result<CellQuestions> CellQuestions::Make(engine::Engine* engine, const CompareRun& run, const Prompts& prompts,
                                          const Cell& cell) {
  CellQuestions questions(engine, run, prompts, cell.context);
  if (cell.task == kPerplexity) {
    if (cell.context < 3) return InvalidArgument("a perplexity wants windows of 3 tokens at least");
    if (!run.text.empty()) DAMASK_RETURN_IF_ERROR(questions.CutWindows());
    return questions;
  }
  DAMASK_ASSIGN_OR_RETURN(questions.task_, TaskRunOf(run, cell.task));
  questions.placements_ = Placements(*questions.task_);
  return questions;
}

Status CellQuestions::Check() const {
  return task_ ? MakeTaskSample(*prompts_, *task_, context_, placements_.front()).status() : Status();
}

Status CellQuestions::CutWindows() {
  const size_t tokens = WindowTokens(*engine_, context_);
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, engine_->tokenizer().Encode(run_->text, tokenizer::Special::kPlain));
  for (size_t begin = 0; begin + tokens <= ids.size() && windows_.size() < run_->samples; begin += tokens) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    windows_.emplace_back(first, first + static_cast<std::ptrdiff_t>(tokens));
  }
  if (windows_.empty()) {
    return InvalidArgument(fmt::format("the text for perplexity has {} tokens, fewer than a window of {}", ids.size(), tokens));
  }
  size_ = windows_.size();
  return {};
}

Result<Answered> CellQuestions::Ask(size_t index, const std::atomic<bool>* cancel) const {
  if (!task_) return AskWindow(index, cancel);
  DAMASK_ASSIGN_OR_RETURN(AskedSample asked, AskPlacement(engine_, *prompts_, *task_, context_, placements_[index], cancel));
  return std::move(asked.answered);
}

Result<Answered> CellQuestions::AskWindow(size_t index, const std::atomic<bool>* cancel) const {
  std::vector<TokenId> prose;
  if (windows_.empty()) {
    DAMASK_ASSIGN_OR_RETURN(
        prose, texts::ProseTokens(engine_->tokenizer(), WindowTokens(*engine_, context_), ProseSeed(run_->seed, index)));
  }
  const std::vector<TokenId>& ids = windows_.empty() ? prose : windows_[index];
  DAMASK_ASSIGN_OR_RETURN(const engine::PerplexityResult window, engine::Perplexity(engine_, ids, context_, nullptr, cancel));
  if (window.cancelled) return Cancelled();
  Answered figures;
  figures.score = window.nll;
  figures.prompt_tokens = context_;
  figures.prefill_seconds = window.seconds;
  figures.prefill = engine_->stats();
  figures.kv_bytes = window.kv_bytes;
  figures.audit = window.audit.Total();
  figures.released_rows = window.audit.skipped_rows;
  return figures;
}

}  // namespace damask::evals
