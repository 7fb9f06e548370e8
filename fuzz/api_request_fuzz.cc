// Bodies of requests, as each of the three APIs reads them: what is accepted must be fit for the engine, what is refused must
// make a sound error.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/limits.h"
#include "base/text.h"
#include "formats/json.h"
#include "server/api_request.h"

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

void CheckRequest(const ApiRequest& request) {
  Require(engine::ValidateSamplerOptions(request.options.sampler).ok());
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
  return 0;
}
