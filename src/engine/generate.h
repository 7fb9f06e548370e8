// One answer: prefill a prompt, then draw tokens until a stop string, an end token, a limit or a cancel.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/answer.h"
#include "engine/engine.h"

namespace damask::engine {

struct GenerateResult {
  std::string text;
  std::vector<TokenId> ids;
  uint64_t prompt_tokens = 0;  // read by this call: all of the prompt, unless it was cancelled on the way
  FinishReason finish = FinishReason::kLength;
  uint64_t seed = 0;
  uint64_t guessed = 0;  // tokens that were guessed, and how many of them were right (GenerateOptions::guesses)
  uint64_t guessed_right = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  model::ForwardStats prefill_stats;
  model::ForwardStats decode_stats;
  model::AuditReport audit;        // of prompt and answer
  model::HeadAudit prefill_audit;  // of the prompt, over all heads

  double prefill_tokens_per_second() const {
    return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
  }
  // The first token comes out of the prefill.
  double decode_tokens_per_second() const {
    return decode_seconds > 0 && ids.size() > 1 ? static_cast<double>(ids.size() - 1) / decode_seconds : 0;
  }
};

struct GenerateCallbacks {
  PrefillProgress progress;
  // Text as it becomes certain: whole UTF-8 characters that no stop string can still swallow.
  std::function<void(std::string_view)> text;
  const std::atomic<bool>* cancel = nullptr;
};

// Continues `session` with `prompt` (ids; at least one token). A cancel is no error: the result says kCancelled.
Result<GenerateResult> Generate(Engine* engine, Session* session, std::span<const TokenId> prompt,
                                const GenerateOptions& options, const GenerateCallbacks& callbacks);

}  // namespace damask::engine
