#include "server/llama_response.h"

#include "base/text.h"
#include "server/api_usage.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;

const char* StopType(const batching::Outcome& outcome) {
  switch (outcome.finish) {
    case engine::FinishReason::kStop: return outcome.stop.empty() ? "eos" : "word";
    case engine::FinishReason::kLength: return "limit";
    case engine::FinishReason::kCancelled: return "none";
  }
  return "none";
}

void AddProbabilities(const ResponseHead& head, const std::vector<batching::DrawnToken>& tokens, Json* json) {
  if (!head.top_logprobs || tokens.empty()) return;
  (*json)["completion_probabilities"] = LlamaProbabilitiesJson(tokens, head.token_bytes);
}

}  // namespace

Json LlamaChunk(const ResponseHead& head, const batching::Piece& piece, uint64_t tokens) {
  Json json = {{"index", 0},
               {"content", SanitizeUtf8(piece.text)},
               {"tokens", piece.ids},
               {"stop", false},
               {"id_slot", -1},
               {"tokens_predicted", tokens},
               {"tokens_evaluated", head.prompt_tokens}};
  AddProbabilities(head, piece.logprobs, &json);
  return json;
}

Json LlamaFinal(const ResponseHead& head, const GatheredAnswer& answer, const batching::Outcome& outcome) {
  const batching::Usage& usage = outcome.usage;
  Json json = {{"index", 0},
               {"content", SanitizeUtf8(answer.text)},
               {"tokens", answer.ids},
               {"id_slot", -1},
               {"stop", true},
               {"model", SanitizeUtf8(head.model)},
               {"tokens_predicted", usage.completion_tokens},
               {"tokens_evaluated", usage.prompt_tokens},
               {"generation_settings", {{"seed", SeedJson(outcome)}}},
               {"truncated", false},  // a prompt that does not fit is refused
               {"stop_type", StopType(outcome)},
               {"stopping_word", SanitizeUtf8(outcome.stop)},
               {"tokens_cached", usage.cached_tokens},
               {"attention_density", AttentionDensity(usage)},
               {"attention_recall", AttentionRecallJson(usage)},
               {"timings", TimingsJson(usage)}};
  AddProbabilities(head, answer.logprobs, &json);
  return json;
}

}  // namespace damask::server
