#include "engine/evaluate.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/timer.h"

namespace damask::engine {
namespace {

// -log softmax(logits)[id], in double from the float logits.
double NegativeLogLikelihood(std::span<const float> logits, TokenId id) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - best);
  return best + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(id)]);
}

}  // namespace

Result<PerplexityResult> Perplexity(Engine* engine, std::span<const TokenId> tokens, uint64_t context,
                                    const PrefillProgress& progress, const std::atomic<bool>* cancel) {
  if (tokens.size() < 2) return InvalidArgument("the text has fewer than two tokens, nothing can be scored");
  if (context < 3) {
    return InvalidArgument(fmt::format("--ctx-size is {}, the windows of a perplexity want 3 tokens at least", context));
  }
  if (context > engine->context()) {
    return InvalidArgument(fmt::format("windows of {} tokens are longer than the context of {}", context, engine->context()));
  }
  const Timer timer;
  const size_t vocab = engine->model().config().vocab;
  const tokenizer::SpecialTokens& special = engine->tokenizer().special();
  const size_t bos = special.puts_bos() ? 1 : 0;
  const size_t step = context - bos;
  PerplexityResult result;
  double sum = 0;
  model::ForwardStats finished;  // when the last whole window was
  engine->ResetStats();
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += step) {
    const size_t end = std::min(tokens.size(), begin + step);
    std::vector<TokenId> window(bos + end - begin, special.bos.value_or(0));
    std::copy(tokens.begin() + static_cast<std::ptrdiff_t>(begin), tokens.begin() + static_cast<std::ptrdiff_t>(end),
              window.begin() + static_cast<std::ptrdiff_t>(bos));
    Session session(engine);
    engine->RestartAudit();  // a window's figures are its own, wherever it stands
    const auto score = [&](uint64_t first, size_t rows, const float* logits) {
      for (size_t r = 0; r < rows; ++r) {
        const uint64_t next = first + r + 1;
        if (next <= bos || next >= window.size()) continue;
        sum += NegativeLogLikelihood({logits + r * vocab, vocab}, window[next]);
        ++result.tokens;
      }
    };
    const double sum_before = sum;
    const uint64_t tokens_before = result.tokens;
    const Status status = session.AppendAll(window, score, nullptr, cancel);
    if (status.code() == StatusCode::kCancelled) {
      sum = sum_before;
      result.tokens = tokens_before;
      result.cancelled = true;
      break;
    }
    DAMASK_RETURN_IF_ERROR(status);
    finished = engine->stats();
    result.kv_bytes = std::max(result.kv_bytes, session.kv_bytes());
    result.audit.Add(engine->audit());
    if (progress) progress(end, tokens.size(), timer.Seconds());
  }
  result.nll = sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.nll);
  result.seconds = timer.Seconds();
  if (finished.causal_pairs > 0) result.density = finished.density();
  return result;
}

}  // namespace damask::engine
