// From the JSON of a request to what the scheduler wants: OpenAI's /v1/completions and /v1/chat/completions and llama-server's
// /completion. Every number is checked here, once. Unknown fields are ignored; known ones that damask lacks are refused. null
// is the same as absent. Where a request is silent, llama-server's defaults hold (SamplerOptions), not OpenAI's, or those that
// the server was given. docs/server.md has the list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "engine/generate.h"
#include "server/api_error.h"
#include "tokenizer/chat_template.h"

namespace damask::server {

enum class Api { kCompletions, kChat, kLlamaCompletion };

struct ApiRequest {
  Api api = Api::kCompletions;
  std::string model;  // "" where the request names none
  // kChat: messages, at least one. Else prompt_ids where it is not empty (ids are not yet compared with the vocabulary), or
  // prompt, which may be empty.
  std::vector<tokenizer::ChatMessage> messages;
  std::string prompt;
  std::vector<tokenizer::TokenId> prompt_ids;

  engine::GenerateOptions options;  // valid by ValidateSamplerOptions
  bool max_tokens_given = false;    // false: options.max_tokens is a limit of ours, and less is left where the context ends
  std::optional<size_t> top_logprobs;
  bool stream = false;
  bool include_usage = false;     // stream_options.include_usage
  bool include_progress = false;  // stream_options.include_progress, llama-server's return_progress
  // kChat with a model that thinks aloud; absent: as the server was told.
  std::optional<tokenizer::Thoughts> thoughts;  // reasoning_effort
  std::optional<bool> thinks;                   // chat_template_kwargs.enable_thinking
  std::optional<bool> thoughts_apart;           // reasoning_format: as reasoning_content, or in the text
  // kChat: continue_final_message. The last message is then one of the assistant.
  tokenizer::LastTurn last_turn = tokenizer::LastTurn::kAnswered;
};

// What holds where a request is silent.
struct RequestDefaults {
  engine::SamplerOptions sampler;             // top_p may be 0: the likeliest token, unless a request gives another
  uint64_t max_tokens = limits::kMaxContext;  // and never more than the context holds
};

// llama-server's word for the place of thoughts: whether they come apart from the text; nothing for an unknown one.
inline constexpr std::string_view kReasoningFormats = "'auto', 'deepseek' or 'none'";
std::optional<bool> ParseReasoningFormat(std::string_view format);

// `body` as it came. Errors: 400 with the field's name; nothing of the body is trusted.
ApiResult<ApiRequest> ParseApiRequest(Api api, const std::string& body, const RequestDefaults& defaults = {});

}  // namespace damask::server
