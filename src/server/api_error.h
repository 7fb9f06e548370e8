// Errors in OpenAI's form, with llama-server's additions: {"error": {"message", "type", "param", "code"}}. `code` is a text or
// null; the HTTP status is the status.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "server/http_message.h"

namespace damask::server {

struct ApiError {
  int status = 400;
  std::string message;  // one sentence; bytes of the request in it are quoted and cut
  std::string type = "invalid_request_error";
  std::optional<std::string> param;  // "messages[2].content"
  std::optional<std::string> code;   // "invalid_value"
  // Only for context_length_exceeded.
  std::optional<uint64_t> prompt_tokens;
  std::optional<uint64_t> context;
  std::optional<unsigned> retry_after_seconds;
  bool may_retry = true;  // false: clients that would ask again by themselves are told that it does not help
};

// {"error": {...}} as text; always valid UTF-8.
std::string ApiErrorJson(const ApiError& error);
// The whole answer, with Retry-After, x-should-retry and WWW-Authenticate where they belong. Allow is the router's: it knows
// the methods.
HttpResponse ApiErrorResponse(const ApiError& error);

// 400 of the fields of a request. `param` is a path of our own making ("messages[2].role"): no name comes from the request.
ApiError ParameterError(std::string code, std::string param, std::string message);
ApiError InvalidValue(std::string param, std::string message);
ApiError InvalidType(std::string param, std::string message);
ApiError MissingParameter(std::string param, std::string message);
ApiError UnsupportedParameter(std::string param, std::string message);  // the field itself
ApiError UnsupportedValue(std::string param, std::string message);      // the field, but not with this value
// max_tokens 0: none was asked for.
ApiError ContextLengthExceeded(uint64_t prompt_tokens, uint64_t max_tokens, uint64_t context, std::string param);

ApiError BadRequest(int status, std::string message);  // what is no field's fault: 400, 413, 415, 431; neither code nor param
ApiError InvalidApiKey();                              // 401
ApiError ModelNotFound(std::string_view model);        // 404
ApiError UnknownUrl(std::string_view method, std::string_view path);          // 404
ApiError MethodNotSupported(std::string_view method, std::string_view path);  // 405
// 501 for a path that OpenAI or llama-server have and damask lacks: `what` begins the sentence ("embeddings").
ApiError EndpointNotSupported(std::string_view what);
ApiError ServerBusy();  // 429, type "requests", code "rate_limit_exceeded", Retry-After
// 429, type "requests", code "request_timeout": the prompt was not read in the time of a request. Unless what was read is
// `kept` it would not be the next time. `what` says so with the time.
ApiError RequestTimedOut(const std::string& what, bool kept);
ApiError ServerLoading();                   // 503
ApiError ServerStopping();                  // 503
ApiError ServerFull(std::string message);   // 503: no memory for what this request brings, until others have ended
ApiError ServerError(std::string message);  // 500
// Of a request that could not be begun: 400 for InvalidArgument, BadFormat, TooLarge, Unsupported; 500 else. A status of work
// that was under way is ServerError, whatever its code: the request was sound.
ApiError FromStatus(const Status& status);

// A value or an ApiError.
template <typename T>
using ApiResult = std::variant<T, ApiError>;

}  // namespace damask::server
