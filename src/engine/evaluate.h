// Measurements over a text: perplexity.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/status.h"
#include "engine/engine.h"

namespace damask::engine {

struct PerplexityResult {
  double perplexity = 0;
  double nll = 0;       // mean negative log-likelihood, nats a token; NaN where a cancel came before the first window's end
  uint64_t tokens = 0;  // scored
  double seconds = 0;
  std::optional<double> density;  // absent where a cancel came before anything was read
  uint64_t kv_bytes = 0;          // the most that a window held at its end
  model::AuditReport audit;
  bool cancelled = false;  // figures are of the windows that were finished
};

// The text in windows of `context` tokens (BOS before each where the vocabulary wants one); in every window all tokens but the
// first are scored. Every window stands for itself: heads that the audit widened are not so in the next one. A cancel is no
// error: the result says so. Errors: fewer than two tokens; windows that are too short, or longer than the engine's context.
Result<PerplexityResult> Perplexity(Engine* engine, std::span<const TokenId> tokens, uint64_t context,
                                    const PrefillProgress& progress, const std::atomic<bool>* cancel);

}  // namespace damask::engine
