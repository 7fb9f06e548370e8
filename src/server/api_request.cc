#include "server/api_request.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "server/api_fields.h"
#include "server/api_prompt.h"
#include "server/api_samplers.h"
#include "server/api_unsupported.h"

namespace damask::server {
namespace {

using formats::Json;

constexpr int64_t kMaxTokens = limits::kMaxContext;
constexpr size_t kMaxUserBytes = size_t{64} << 10;
constexpr int64_t kMaxCompletionLogprobs = 5;  // as OpenAI's /v1/completions

void ReadLength(FieldReader* fields, uint64_t usual, ApiRequest* request) {
  std::optional<int64_t> tokens;
  const bool llama = request->api == Api::kLlamaCompletion;
  const auto read = [&](const char* name, int64_t least) {
    if (const auto found = fields->Integer(name, {least, kMaxTokens})) tokens = found;
  };
  // Of several the last one wins: the newer one of OpenAI's names, and llama-server's, which it takes on all its paths.
  read("max_tokens", llama ? -1 : 1);
  read("max_completion_tokens", llama ? -1 : 1);
  read("n_predict", -1);
  request->max_tokens_given = tokens && *tokens >= 0;
  request->options.max_tokens = !tokens ? usual : *tokens >= 0 ? static_cast<uint64_t>(*tokens) : limits::kMaxContext;
}

void ReadSeed(FieldReader* fields, engine::SamplerOptions* sampler) {
  const auto seed = fields->Integer("seed", {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()});
  if (!seed) return;
  sampler->seed = *seed == -1 ? std::nullopt : std::optional(static_cast<uint64_t>(*seed));
}

void ReadPenalties(FieldReader* fields, engine::SamplerOptions* sampler) {
  const auto number = [fields](const char* name, NumberRange range, float* out) {
    if (const auto found = fields->Number(name, range)) *out = static_cast<float>(*found);
  };
  number("presence_penalty", {-2, 2}, &sampler->presence_penalty);
  number("frequency_penalty", {-2, 2}, &sampler->frequency_penalty);
  // vLLM's name and llama.cpp's; the latter wins. At 0 logits would be divided by it.
  number("repetition_penalty", {0.01, 100}, &sampler->repeat_penalty);
  number("repeat_penalty", {0.01, 100}, &sampler->repeat_penalty);
  if (const auto last = fields->Integer("repeat_last_n", {-1, kMaxTokens})) {
    sampler->repeat_last_n = *last < 0 ? limits::kMaxContext : static_cast<uint64_t>(*last);
  }
}

void ReadSampler(FieldReader* fields, Api api, engine::SamplerOptions* sampler) {
  const double hottest = api == Api::kLlamaCompletion ? 100 : 2;
  if (const auto found = fields->Number("temperature", {0, hottest})) sampler->temperature = static_cast<float>(*found);
  if (const auto found = fields->Number("min_p", {0, 1})) sampler->min_p = static_cast<float>(*found);
  if (const auto found = fields->Integer("top_k", {-1, limits::kMaxVocab})) {
    sampler->top_k = *found < 0 ? 0 : static_cast<uint64_t>(*found);
  }
  if (const auto found = fields->Number("top_p", {0, 1})) sampler->top_p = static_cast<float>(*found);
  ReadPenalties(fields, sampler);
  ReadSamplers(fields, sampler);
  sampler->SetTopP(static_cast<double>(sampler->top_p));  // once it is clear what of top_p and top_k holds
  ReadSeed(fields, sampler);
}

void AddStop(FieldReader* fields, const std::string& param, const Json& value, std::vector<std::string>* stops) {
  if (!value.is_string()) return fields->Fail(WrongType(param, value, "a string"));
  const auto& stop = value.get_ref<const std::string&>();
  if (stop.empty() || stop.size() > limits::kMaxStopBytes) {
    return fields->Fail(InvalidValue(param, fmt::format("Invalid value for '{}': expected 1 to {} bytes, but got {}.", param,
                                                        limits::kMaxStopBytes, stop.size())));
  }
  stops->push_back(stop);
}

void ReadStop(FieldReader* fields, std::vector<std::string>* stops) {
  const Json* stop = fields->Any("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) return AddStop(fields, "stop", *stop, stops);
  if (!stop->is_array()) return fields->Fail(WrongType("stop", *stop, "a string or an array of strings"));
  if (stop->size() > limits::kMaxStopStrings) {
    return fields->Fail(InvalidValue("stop", fmt::format("Invalid value for 'stop': expected at most {} strings, but got {}.",
                                                         limits::kMaxStopStrings, stop->size())));
  }
  for (size_t i = 0; i < stop->size(); ++i) AddStop(fields, fmt::format("stop[{}]", i), (*stop)[i], stops);
}

void ReadChatLogprobs(FieldReader* fields, std::optional<size_t>* top_logprobs) {
  const bool wanted = fields->Bool("logprobs").value_or(false);
  const auto top = fields->Integer("top_logprobs", {0, limits::kMaxTopLogprobs});
  if (wanted) {
    *top_logprobs = static_cast<size_t>(top.value_or(0));
  } else if (top.value_or(0) > 0) {
    fields->Fail(InvalidValue("top_logprobs", "Invalid value for 'top_logprobs': 'logprobs' must be true where it is given."));
  }
}

// A number; `false`, which chats say it with, asks for none here too.
void ReadCompletionLogprobs(FieldReader* fields, std::optional<size_t>* top_logprobs) {
  const Json* wanted = fields->Any("logprobs");
  if (wanted != nullptr && *wanted == false) return;
  if (wanted != nullptr && *wanted == true) {
    return fields->Fail(WrongType("logprobs", *wanted, "the number of likeliest tokens, an integer from 0 to 5"));
  }
  if (const auto top = fields->Integer("logprobs", {0, kMaxCompletionLogprobs})) *top_logprobs = static_cast<size_t>(*top);
}

void ReadLogprobs(FieldReader* fields, ApiRequest* request) {
  switch (request->api) {
    case Api::kChat: return ReadChatLogprobs(fields, &request->top_logprobs);
    case Api::kCompletions: return ReadCompletionLogprobs(fields, &request->top_logprobs);
    case Api::kLlamaCompletion:
      if (const auto top = fields->Integer("n_probs", {0, limits::kMaxTopLogprobs}); top && *top > 0) {
        request->top_logprobs = static_cast<size_t>(*top);
      }
      return;
  }
}

void ReadStream(FieldReader* fields, ApiRequest* request) {
  request->options.ignore_eos = fields->Bool("ignore_eos").value_or(false);
  request->stream = fields->Bool("stream").value_or(false);
  request->include_progress = fields->Bool("return_progress").value_or(false);
  const Json* options = fields->Object("stream_options");
  if (options == nullptr) return;
  FieldReader members(*options, "stream_options.");
  request->include_usage = members.Bool("include_usage").value_or(false);
  request->include_progress |= members.Bool("include_progress").value_or(false);
  if (members.error()) fields->Fail(*members.error());
}

// "reasoning_effort", OpenAI's field or a variable of gpt-oss's template.
void ReadEffort(FieldReader* fields, const std::string& param, ApiRequest* request) {
  const std::string* const effort = fields->Text("reasoning_effort");
  if (effort == nullptr) return;
  request->thoughts = tokenizer::ParseReasoningEffort(*effort);
  if (request->thoughts) return;
  fields->Fail(InvalidValue(param, fmt::format("Invalid value for '{}': expected {}, but got {}.", param,
                                               tokenizer::kReasoningEfforts, ValueName(Json(*effort)))));
}

// llama-server's fields. Of what a template may be told only whether to think, and how much, means something here.
void ReadThoughts(FieldReader* fields, ApiRequest* request) {
  if (const std::string* format = fields->Text("reasoning_format")) {
    request->thoughts_apart = ParseReasoningFormat(*format);
    if (!request->thoughts_apart) {
      fields->Fail(
          InvalidValue("reasoning_format", fmt::format("Invalid value for 'reasoning_format': expected {}, but got {}.",
                                                       kReasoningFormats, ValueName(Json(*format)))));
    }
  }
  ReadEffort(fields, "reasoning_effort", request);
  const Json* variables = fields->Object("chat_template_kwargs");
  if (variables == nullptr) return;
  FieldReader members(*variables, "chat_template_kwargs.");
  ReadEffort(&members, "chat_template_kwargs.reasoning_effort", request);
  request->thinks = members.Bool("enable_thinking");
  if (members.error()) fields->Fail(*members.error());
}

// vLLM's fields: whether the model goes on with the last message, and whether it answers, which are the only two things that it
// can do with a conversation.
void ReadLastTurn(FieldReader* fields, ApiRequest* request) {
  const auto refuse = [fields](const char* name, bool found, const char* why) {
    fields->Fail(UnsupportedValue(name, fmt::format("Unsupported value: '{}' is {}, {}.", name, found, why)));
  };
  const bool continues = fields->Bool("continue_final_message").value_or(false);
  const bool answers = fields->Bool("add_generation_prompt").value_or(!continues);
  if (fields->error()) return;
  if (!continues) {
    if (!answers) refuse("add_generation_prompt", false, "but damask takes that together with 'continue_final_message' only");
    return;
  }
  if (request->api != Api::kChat) return refuse("continue_final_message", true, "but there are no messages");
  if (request->messages.back().role != "assistant") {
    return fields->Fail(InvalidValue(
        "continue_final_message",
        fmt::format(
            "Invalid value for 'continue_final_message': the last message must have the role 'assistant', but has '{}'.",
            request->messages.back().role)));
  }
  request->last_turn = tokenizer::LastTurn::kContinued;
}

// Nothing is done with it, but a client learns that it is no place for data. A value of another type is ignored with it.
void CheckUser(FieldReader* fields) {
  const Json* user = fields->Any("user");
  if (user == nullptr || !user->is_string()) return;
  const size_t bytes = user->get_ref<const std::string&>().size();
  if (bytes <= kMaxUserBytes) return;
  fields->Fail(InvalidValue(
      "user", fmt::format("Invalid value for 'user': expected at most {} bytes, but got {}.", kMaxUserBytes, bytes)));
}

}  // namespace

std::optional<bool> ParseReasoningFormat(std::string_view format) {
  if (format == "auto" || format == "deepseek") return true;
  return format == "none" ? std::optional(false) : std::nullopt;
}

ApiResult<ApiRequest> ParseApiRequest(Api api, const std::string& body, const RequestDefaults& defaults) {
  const ApiResult<Json> document = ReadBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&document)) return *error;
  ApiRequest request{.api = api};
  FieldReader fields(std::get<Json>(document));
  if (const std::string* model = fields.Text("model")) request.model = *model;
  api == Api::kChat ? ReadMessages(&fields, &request) : ReadPrompt(&fields, &request);
  RefuseUnsupported(&fields);
  request.options.sampler = defaults.sampler;
  ReadLength(&fields, defaults.max_tokens, &request);
  ReadSampler(&fields, api, &request.options.sampler);
  ReadStop(&fields, &request.options.stop);
  ReadLogprobs(&fields, &request);
  ReadStream(&fields, &request);
  ReadLastTurn(&fields, &request);
  if (api == Api::kChat) ReadThoughts(&fields, &request);
  CheckUser(&fields);
  if (fields.error()) return *fields.error();
  return request;
}

}  // namespace damask::server
