// Bodies of requests, as each of the three APIs, /tokenize and /detokenize read them: what is accepted must be fit for the
// engine, what is refused must make a sound error.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/limits.h"
#include "base/text.h"
#include "formats/json.h"
#include "server/api_request.h"
#include "server/llama_requests.h"

namespace {

using namespace damask;
using server::Api;
using server::ApiError;
using server::ApiRequest;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckError(const ApiError& error) {
  Require(error.status == 400);
  Require(IsValidUtf8(error.message) && !error.message.empty() && error.message.size() < 1000);
  Require(formats::ParseJson(server::ApiErrorJson(error)).ok());
}

// As engine::ValidateSamplerOptions, which is not linked here.
void CheckSampler(const engine::SamplerOptions& sampler) {
  Require(sampler.temperature >= 0 && sampler.temperature <= 100);
  Require(sampler.top_p > 0 && sampler.top_p <= 1);
  Require(sampler.min_p >= 0 && sampler.min_p <= 1);
  Require(sampler.repeat_penalty > 0 && sampler.repeat_penalty <= 100);
  Require(std::abs(sampler.presence_penalty) <= 2 && std::abs(sampler.frequency_penalty) <= 2);
}

void CheckRequest(const ApiRequest& request) {
  CheckSampler(request.options.sampler);
  Require(request.options.max_tokens <= limits::kMaxContext);
  Require(request.options.stop.size() <= limits::kMaxStopStrings);
  Require(std::all_of(request.options.stop.begin(), request.options.stop.end(), [](const std::string& stop) {
    return !stop.empty() && stop.size() <= limits::kMaxStopBytes && IsValidUtf8(stop);
  }));
  Require(request.top_logprobs.value_or(0) <= limits::kMaxTopLogprobs);
  Require((request.api == Api::kChat) == !request.messages.empty());
  Require(std::all_of(request.prompt_ids.begin(), request.prompt_ids.end(), [](tokenizer::TokenId id) { return id >= 0; }));
  Require(IsValidUtf8(request.prompt));
}

void CheckLlamaRequests(const std::string& body) {
  constexpr uint64_t kVocab = 1000;
  const server::ApiResult<server::TokenizeRequest> text = server::ParseTokenizeRequest(body);
  if (const ApiError* error = std::get_if<ApiError>(&text)) {
    CheckError(*error);
  } else {
    Require(IsValidUtf8(std::get<server::TokenizeRequest>(text).content));
  }
  const auto ids = server::ParseDetokenizeRequest(body, kVocab);
  if (const ApiError* error = std::get_if<ApiError>(&ids)) {
    CheckError(*error);
  } else {
    const auto& found = std::get<0>(ids);
    Require(std::all_of(found.begin(), found.end(),
                        [](tokenizer::TokenId id) { return id >= 0 && static_cast<uint64_t>(id) < kVocab; }));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  for (const Api api : {Api::kCompletions, Api::kChat, Api::kLlamaCompletion}) {
    const server::ApiResult<ApiRequest> result = server::ParseApiRequest(api, body);
    if (const ApiError* error = std::get_if<ApiError>(&result)) {
      CheckError(*error);
    } else {
      CheckRequest(std::get<ApiRequest>(result));
    }
  }
  CheckLlamaRequests(body);
  return 0;
}
