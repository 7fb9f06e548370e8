#include "server/api_error.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kServerError = "server_error";
// What a client should wait before it asks again. A queue of long prompts empties slowly; loading takes seconds.
constexpr unsigned kBusySeconds = 2;
constexpr unsigned kLoadingSeconds = 5;

Json TextOrNull(const std::optional<std::string>& text) { return text ? Json(SanitizeUtf8(*text)) : Json(nullptr); }

ApiError Unavailable(std::string message) {
  return {.status = 503, .message = std::move(message), .type = kServerError, .retry_after_seconds = kLoadingSeconds};
}

ApiError NoSuch(int status, std::string code, std::string message) {
  return {.status = status, .message = std::move(message), .code = std::move(code)};
}

}  // namespace

std::string ApiErrorJson(const ApiError& error) {
  Json body = {{"message", SanitizeUtf8(error.message)},
               {"type", SanitizeUtf8(error.type)},
               {"param", TextOrNull(error.param)},
               {"code", TextOrNull(error.code)}};
  if (error.prompt_tokens) body["n_prompt_tokens"] = *error.prompt_tokens;
  if (error.context) body["n_ctx"] = *error.context;
  return Json{{"error", std::move(body)}}.dump();
}

HttpResponse ApiErrorResponse(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = ApiErrorJson(error)};
  if (error.retry_after_seconds) response.headers.emplace_back("Retry-After", fmt::format("{}", *error.retry_after_seconds));
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  // OpenAI's clients ask again after 429 and any 5xx unless they are told that it will not help.
  if (!error.may_retry) response.headers.emplace_back("x-should-retry", "false");
  return response;
}

ApiError ParameterError(std::string code, std::string param, std::string message) {
  return {.status = 400, .message = std::move(message), .param = std::move(param), .code = std::move(code)};
}

ApiError InvalidValue(std::string param, std::string message) {
  return ParameterError("invalid_value", std::move(param), std::move(message));
}

ApiError InvalidType(std::string param, std::string message) {
  return ParameterError("invalid_type", std::move(param), std::move(message));
}

ApiError MissingParameter(std::string param, std::string message) {
  return ParameterError("missing_required_parameter", std::move(param), std::move(message));
}

ApiError UnsupportedParameter(std::string param, std::string message) {
  return ParameterError("unsupported_parameter", std::move(param), std::move(message));
}

ApiError UnsupportedValue(std::string param, std::string message) {
  return ParameterError("unsupported_value", std::move(param), std::move(message));
}

ApiError ContextLengthExceeded(uint64_t prompt_tokens, uint64_t max_tokens, uint64_t context, std::string param) {
  const std::string wanted =
      max_tokens == 0 ? fmt::format("the prompt has {} tokens and an answer needs at least one", prompt_tokens)
                      : fmt::format("the prompt has {} tokens and up to {} were asked for", prompt_tokens, max_tokens);
  ApiError error = ParameterError("context_length_exceeded", std::move(param),
                                  fmt::format("The context holds {} tokens, but {}.", context, wanted));
  error.prompt_tokens = prompt_tokens;
  error.context = context;
  return error;
}

ApiError BadRequest(int status, std::string message) { return {.status = status, .message = std::move(message)}; }

ApiError InvalidApiKey() {
  return NoSuch(401, "invalid_api_key", "The API key is missing or wrong: expected the header 'Authorization: Bearer KEY'.");
}

ApiError ModelNotFound(std::string_view model) {
  ApiError error = NoSuch(404, "model_not_found",
                          fmt::format("The model {} does not exist; /v1/models names the one that does.", Quote(model)));
  error.param = "model";
  return error;
}

ApiError UnknownUrl(std::string_view method, std::string_view path) {
  return NoSuch(404, "unknown_url", fmt::format("Unknown request URL: {} {}.", Quote(method), Quote(path)));
}

ApiError MethodNotSupported(std::string_view method, std::string_view path) {
  return NoSuch(405, "method_not_supported", fmt::format("The method {} is not allowed for {}.", Quote(method), Quote(path)));
}

ApiError EndpointNotSupported(std::string_view what) {
  return {.status = 501,
          .message = fmt::format("damask does not support {}.", what),
          .type = "not_supported_error",
          .code = "unsupported_endpoint",
          .may_retry = false};
}

ApiError ServerBusy() {
  return {.status = 429,
          .message = "The queue of requests is full; try again later.",
          .type = "requests",
          .code = "rate_limit_exceeded",
          .retry_after_seconds = kBusySeconds};
}

ApiError RequestTimedOut(const std::string& what, bool kept) {
  const char* const again = kept ? "it goes on behind what was read and kept" : "it would take as long";
  return {.status = 429,
          .message = fmt::format("{}, and --timeout gives it no more: asked again, {}.", what, again),
          .type = "requests",
          .code = "request_timeout",
          .may_retry = kept};
}

ApiError ServerLoading() { return Unavailable("The model is being loaded."); }

ApiError ServerFull(std::string message) { return Unavailable(std::move(message)); }

ApiError ServerStopping() { return Unavailable("The server is shutting down."); }

ApiError ServerError(std::string message) { return {.status = 500, .message = std::move(message), .type = kServerError}; }

ApiError FromStatus(const Status& status) {
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kBadFormat:
    case StatusCode::kTooLarge:
    case StatusCode::kUnsupported: return BadRequest(400, status.ToString());
    default: return ServerError(status.ToString());
  }
}

}  // namespace damask::server
