// Measurements over a text: perplexity.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "engine/engine.h"

namespace damask::engine {

struct PerplexityResult {
  double perplexity = 0;
  double nll = 0;       // mean negative log-likelihood, nats a token
  uint64_t tokens = 0;  // scored
  double seconds = 0;
  double density = 1;
  model::AuditReport audit;
};

// The text in windows of `context` tokens (BOS before each where the vocabulary wants one); in every window all tokens but the
// first are scored. Errors: fewer than two tokens.
Result<PerplexityResult> Perplexity(Engine* engine, std::span<const TokenId> tokens, uint64_t context,
                                    const PrefillProgress& progress, const std::atomic<bool>* cancel);

}  // namespace damask::engine
