// What holds for the HTTP parser whatever bytes come: for its fuzz target and the test over that target's corpus.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "formats/json.h"
#include "server/access.h"
#include "server/api_error.h"
#include "server/http_parser.h"

namespace damask::server {

// All requests of a connection, up to the first that is refused or not whole.
struct ParsedConnection {
  std::vector<HttpRequest> requests;
  std::vector<std::string> flags;  // of each: how its connection goes on
  int error = 0;                   // the status of the refusal
};

inline HttpLimits ParserCheckLimits() {
  HttpLimits limits;
  limits.max_header_bytes = 600;
  limits.max_body_bytes = 100;
  return limits;
}

// As a connection does it whose socket gives `piece` bytes at a time.
inline ParsedConnection ParseConnection(std::string_view bytes, size_t piece, const std::shared_ptr<BodyBudget>& budget) {
  ParsedConnection parsed;
  HttpParser parser(ParserCheckLimits(), budget);
  std::string input;
  for (size_t at = 0; at < bytes.size() && parsed.error == 0; at += piece) {
    input.append(bytes.substr(at, piece));
    input.shrink_to_fit();  // so that the address sanitizer sees what reads beyond
    for (parser.Feed(&input); parser.state() == HttpParser::State::kDone; parser.Feed(&input)) {
      parsed.flags.push_back(std::string(parser.http_1_0() ? "1.0 " : "1.1 ") + (parser.keep_alive() ? "stays" : "closes"));
      parsed.requests.push_back(parser.TakeRequest());
      parser.Reset();
    }
    if (parser.state() == HttpParser::State::kFailed)
      parsed.error = parser.error_message().empty() ? -1 : parser.error_status();
  }
  return parsed;
}

inline bool HasControls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

inline bool IsSoundError(const ApiError& error) {
  return IsValidUtf8(error.message) && error.message.size() < 1000 && formats::ParseJson(ApiErrorJson(error)).ok();
}

// What is wrong with a request that was let through; "" where nothing is.
inline std::string FaultOf(const HttpRequest& request) {
  const HttpLimits limits = ParserCheckLimits();
  if (request.body.size() > limits.max_body_bytes) return "too long a body";
  if (request.method.empty() || HasControls(request.method + request.path + request.query)) return "controls in the first line";
  size_t bytes = request.method.size() + request.path.size() + request.query.size();
  size_t lengths = 0;
  size_t hosts = 0;
  for (const auto& [name, value] : request.headers) {
    bytes += name.size() + value.size();
    if (name.empty() || HasControls(name + value)) return "controls in a header";
    if (std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) return "a name in upper case";
    lengths += name == "content-length" ? 1 : 0;
    hosts += name == "host" ? 1 : 0;
  }
  if (bytes > limits.max_header_bytes) return "too long a head";
  if (lengths > 1 || hosts > 1) return "a length or a host twice";
  const AccessRules rules = {.api_keys = {"key"}, .allowed_hosts = {"damask.example"}};
  for (const auto& error : {CheckHostAndOrigin(rules, request), CheckApiKey(rules, request),
                            std::optional<ApiError>(UnknownUrl(request.method, request.path))}) {
    if (error && !IsSoundError(*error)) return "an unsound error";
  }
  CorsHeaders(request);
  return "";
}

// What is wrong with how these bytes are read; "" where nothing is. They must be the same requests in whatever pieces they
// come: else somebody who forwards them could be made to see others (request smuggling).
inline std::string FaultOfParsing(std::string_view bytes, size_t piece) {
  const auto budget = std::make_shared<BodyBudget>(90);
  const ParsedConnection whole = ParseConnection(bytes, std::max<size_t>(bytes.size(), 1), nullptr);
  const ParsedConnection pieces = ParseConnection(bytes, piece, nullptr);
  for (const HttpRequest& request : whole.requests) {
    if (std::string fault = FaultOf(request); !fault.empty()) return fault;
  }
  const auto same = [](const HttpRequest& a, const HttpRequest& b) {
    return a.method == b.method && a.path == b.path && a.query == b.query && a.headers == b.headers && a.body == b.body;
  };
  if (!std::equal(whole.requests.begin(), whole.requests.end(), pieces.requests.begin(), pieces.requests.end(), same) ||
      whole.flags != pieces.flags) {
    return "other requests in pieces";
  }
  // What is refused may be seen to be wrong sooner in one way than in the other.
  for (const int error : {whole.error, pieces.error}) {
    if (error != 0 && error != 400 && error != 413 && error != 431) return "a status of its own";
  }
  {
    // One body after the other, each of which gives back what it took: only longer ones than the budget meet its end.
    const ParsedConnection tight = ParseConnection(bytes, piece, budget);
    uint64_t held = 0;
    for (const HttpRequest& request : tight.requests) held += request.body.size();
    if (held != budget->held() || held > budget->limit()) return "a wrong account of bodies";
  }
  return budget->held() == 0 ? "" : "bytes of bodies that do not come back";
}

}  // namespace damask::server
