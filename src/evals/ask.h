// One question put to a model: prompt, greedy answer, score, and what it took.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "model/audit.h"
#include "texts/sample.h"
#include "texts/tasks.h"
#include "tokenizer/chat_template.h"

namespace damask::evals {

enum class PromptForm {
  kAuto,  // the chat template where the model has a known one, else raw
  kRaw,   // the text goes on: text, question, the answer's beginning
};

// How samples become prompts of this model.
class Prompts {
 public:
  // Warns of a template that is not known.
  Prompts(const engine::Engine* engine, PromptForm form);

  bool chat() const { return family_.has_value(); }
  // Chat: text and question are the user's message, and the model begins its answer itself, without thinking aloud. Raw: text,
  // question and prefix go on; what spells a control token stays text.
  Result<std::vector<engine::TokenId>> Encode(const texts::Sample& sample) const;
  // Tokens of a text, without those that Encode puts around it.
  texts::CountTokens Count() const;
  // How many Encode puts around a text (its template, BOS), and some to spare where the text's own tokens may join with them.
  Result<uint64_t> Overhead() const;
  // Tokens for an answer of `tokens` tokens behind its prefix: chat models say more around it.
  uint64_t AnswerBudget(uint64_t tokens) const;

 private:
  const engine::Engine* engine_;
  std::optional<tokenizer::ChatFamily> family_;
};

struct Answered {
  std::string text;  // what the model said behind the prompt
  double score = 0;
  uint64_t prompt_tokens = 0;
  uint64_t generated_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  model::ForwardStats prefill;
  model::ForwardStats decode;
  uint64_t kv_bytes = 0;          // behind the prompt and the answer
  model::HeadAudit audit;         // of the prompt, over all heads; no rows where no audit ran
  model::HeadAudit audit_decode;  // of the answer; its recall_min is not known
  uint64_t released_rows = 0;     // that the audit chose, and whose keys had been released
};

// Reads the prompt in a new session, with no head widened by the audit of an earlier one, and takes the likeliest tokens until
// a newline (raw; chat: an end token) or `max_tokens`. Errors: those of Session::Append, Cancelled among them.
Result<Answered> Ask(engine::Engine* engine, const Prompts& prompts, const texts::Sample& sample, uint64_t max_tokens,
                     const std::atomic<bool>* cancel);

}  // namespace damask::evals
