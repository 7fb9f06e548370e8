// Log-probabilities of drawn tokens in the three shapes: OpenAI's chat, OpenAI's completions, llama-server's /completion.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "batching/request.h"

namespace damask::server {

// The bytes a token stands for, need not be UTF-8: control tokens by their spelling where `spelled`, else as what they are in
// the text of an answer, nothing.
using TokenBytes = std::function<std::string(batching::TokenId, bool spelled)>;

// {"content": [{token, logprob, bytes, top_logprobs: [{token, logprob, bytes}]}], "refusal": null}. `token` has U+FFFD for
// bytes that are no UTF-8, `bytes` has them all.
nlohmann::ordered_json ChatLogprobsJson(std::span<const batching::DrawnToken> tokens, const TokenBytes& bytes);

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, arrays over the tokens; top_logprobs null where `top` is 0, else
// with the token itself beside the likeliest. The names of tokens are keys here, so one that is no UTF-8 is written out
// ("bytes:\xe2\x82"), as OpenAI does. text_offset counts characters of the text; `offset` is where the first token begins and
// is moved behind the last.
nlohmann::ordered_json CompletionLogprobsJson(std::span<const batching::DrawnToken> tokens, size_t top, const TokenBytes& bytes,
                                              uint64_t* offset);

// completion_probabilities: [{id, token, bytes, logprob, top_logprobs: [{id, token, bytes, logprob}]}].
nlohmann::ordered_json LlamaProbabilitiesJson(std::span<const batching::DrawnToken> tokens, const TokenBytes& bytes);

}  // namespace damask::server
