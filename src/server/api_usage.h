// What an answer took, as JSON: OpenAI's usage with damask's figures in it, and llama-server's timings.
#pragma once

#include <nlohmann/json.hpp>

#include "batching/request.h"

namespace damask::server {

// Of prefill and decode together.
double AttentionDensity(const batching::Usage& usage);
// null where no row was audited.
nlohmann::ordered_json AttentionRecallJson(const batching::Usage& usage);

// {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details{cached_tokens}, attention_density, attention_recall}.
nlohmann::ordered_json UsageJson(const batching::Usage& usage);

// {cache_n, prompt_n, prompt_ms, prompt_per_token_ms, prompt_per_second, predicted_...}, and draft_n and
// draft_n_accepted where tokens were guessed. prompt_n are the tokens that were read now, without cache_n. The first token
// comes out of the prefill: predicted rates are of the tokens behind it.
nlohmann::ordered_json TimingsJson(const batching::Usage& usage);

// With it a request gets the same answer: as requests give it, a signed number.
nlohmann::ordered_json SeedJson(const batching::Outcome& outcome);

}  // namespace damask::server
