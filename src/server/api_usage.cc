#include "server/api_usage.h"

#include <algorithm>
#include <string>

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;

// 0 where there is nothing to divide by: JSON has no infinity.
double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

void AddRates(const std::string& name, uint64_t tokens, uint64_t timed_tokens, double seconds, Json* timings) {
  const auto timed = static_cast<double>(timed_tokens);
  (*timings)[name + "_n"] = tokens;
  (*timings)[name + "_ms"] = 1000 * seconds;
  (*timings)[name + "_per_token_ms"] = Ratio(1000 * seconds, timed);
  (*timings)[name + "_per_second"] = Ratio(timed, seconds);
}

}  // namespace

double AttentionDensity(const batching::Usage& usage) {
  const model::ForwardStats both{.planned_pairs = usage.prefill.planned_pairs + usage.decode.planned_pairs,
                                 .causal_pairs = usage.prefill.causal_pairs + usage.decode.causal_pairs};
  return both.density();
}

Json AttentionRecallJson(const batching::Usage& usage) {
  return usage.audit.rows == 0 ? Json(nullptr) : Json(usage.audit.recall());
}

Json SeedJson(const batching::Outcome& outcome) { return static_cast<int64_t>(outcome.seed); }

Json UsageJson(const batching::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"attention_density", AttentionDensity(usage)},
          {"attention_recall", AttentionRecallJson(usage)}};
}

Json TimingsJson(const batching::Usage& usage) {
  Json timings = {{"cache_n", usage.cached_tokens}};
  const uint64_t read = usage.prompt_tokens - std::min(usage.cached_tokens, usage.prompt_tokens);
  AddRates("prompt", read, read, usage.prefill_seconds, &timings);
  const uint64_t behind_first = usage.completion_tokens - std::min<uint64_t>(usage.completion_tokens, 1);
  AddRates("predicted", usage.completion_tokens, behind_first, usage.decode_seconds, &timings);
  if (usage.guessed != 0) {
    timings["draft_n"] = usage.guessed;
    timings["draft_n_accepted"] = usage.guessed_right;
  }
  return timings;
}

}  // namespace damask::server
