// Errors in OpenAI's form, with llama-server's additions: {"error": {"message", "type", "param", "code"}}. `code` is a text or
// null; the HTTP status is the status.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
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
};

// {"error": {...}} as text.
std::string ApiErrorJson(const ApiError& error);
// The whole answer, with Retry-After, Allow and WWW-Authenticate where they belong.
HttpResponse ApiErrorResponse(const ApiError& error);

ApiError InvalidValue(std::string param, std::string message);
ApiError InvalidType(std::string param, std::string message);
ApiError MissingParameter(std::string param, std::string message);
ApiError UnsupportedParameter(std::string param, std::string message);
ApiError ContextLengthExceeded(uint64_t prompt_tokens, uint64_t max_tokens, uint64_t context, std::string param);
ApiError ServerBusy();      // 429, type "requests", code "rate_limit_exceeded", Retry-After
ApiError ServerLoading();   // 503
ApiError ServerStopping();  // 503
// What went wrong inside: 400 for InvalidArgument, BadFormat, TooLarge of a request; 500 else.
ApiError FromStatus(const Status& status);

// A value or an ApiError.
template <typename T>
using ApiResult = std::variant<T, ApiError>;

}  // namespace damask::server
