// From what the scheduler reports to the texts that are sent: whole answers and the events of a stream, in OpenAI's shapes for
// /v1/completions and /v1/chat/completions and in llama-server's for /completion. Pure: no network, no clock.
//
// A stream of OpenAI's: Begin(), Progress()* where asked for, Piece()*, End(), SseDone(); an error replaces what is left by
// SseError(). All texts are JSON without line breaks and valid UTF-8, whatever the model wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "batching/request.h"
#include "server/api_error.h"
#include "server/api_logprobs.h"
#include "server/api_request.h"
#include "tokenizer/thoughts.h"

namespace damask::server {

// What all texts of one answer have in common.
struct ResponseHead {
  Api api = Api::kCompletions;
  std::string id;       // MakeResponseId()
  int64_t created = 0;  // seconds since 1970
  std::string model;    // the name of the model that answers
  std::optional<size_t> top_logprobs;
  bool include_usage = false;
  std::optional<tokenizer::ThoughtSplitter> splitter;  // chat: thoughts go to reasoning_content
  uint64_t prompt_tokens = 0;
  TokenBytes token_bytes;  // only called where top_logprobs is given
};

// "chatcmpl-" or "cmpl-" and 24 random letters and digits. Thread-safe.
std::string MakeResponseId(Api api);

// The pieces of an answer put together.
struct GatheredAnswer {
  std::string text;
  std::vector<batching::TokenId> ids;
  std::vector<batching::DrawnToken> logprobs;

  void Add(batching::Piece&& piece);
};

// The body of an answer that is not streamed.
std::string WholeResponse(const ResponseHead& head, const GatheredAnswer& answer, const batching::Outcome& outcome);

// Makes the events of one stream, each as it is written ("data: {...}\n\n"); "" where there is nothing to send.
class ResponseStream {
 public:
  explicit ResponseStream(ResponseHead head) : head_(std::move(head)) {}

  std::string Begin() const;  // chat: the role
  std::string Progress(const batching::Progress& progress) const;
  // A chunk that says nothing, for a client that takes a stream of comments alone for a broken one.
  std::string Nothing() const;
  std::string Piece(const batching::Piece& piece);
  // What is left of the text; why it ended, with timings; then, for OpenAI's where it was asked for, the chunk with the usage.
  std::string End(const batching::Outcome& outcome);

 private:
  nlohmann::ordered_json Chunk(nlohmann::ordered_json choices) const;

  ResponseHead head_;
  uint64_t tokens_ = 0;       // sent so far
  uint64_t text_offset_ = 0;  // of the next token, in characters
};

// One server-sent event: "data: " and `json`, which has no line breaks.
std::string SseEvent(std::string_view json);
std::string SseError(const ApiError& error);
// What ends a stream: OpenAI's "data: [DONE]"; nothing for llama-server's, whose last chunk says "stop": true.
std::string SseDone(Api api);
// A comment that keeps a silent stream open.
inline constexpr std::string_view kSseKeepAlive = ":\n\n";

}  // namespace damask::server
