// One answer in the making: tokens are drawn one by one, become text, and something ends it. The loop around it, which computes
// the logits, is the caller's: one conversation (generate.h) or many at once (batching/scheduler.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/sampler.h"
#include "tokenizer/tokenizer.h"

namespace damask::engine {

enum class FinishReason {
  kStop,    // an end-of-generation token or a stop string
  kLength,  // max_tokens, or the context is full
  kCancelled,
};

std::string_view FinishReasonName(FinishReason reason);  // "stop", "length", "cancelled"

struct GenerateOptions {
  uint64_t max_tokens = 256;
  SamplerOptions sampler;
  std::vector<std::string> stop;  // not part of the text; none may be empty
  bool show_special = false;      // control tokens as text
  bool ignore_eos = false;        // an end-of-generation token does not end the answer (for timings)
  size_t guesses = 0;             // tokens to guess ahead at most (guesser.h); the answer is the same
};

Status ValidateGenerateOptions(const GenerateOptions& options);

// Finds stop strings in text that arrives in pieces, holding back what may be the beginning of one.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Adds text; returns what is certain now. After a match stopped() is true and later text is ignored.
  std::string Add(std::string_view text);
  std::string Finish();  // what was held back and is no stop string after all
  bool stopped() const { return stopped_; }
  const std::string& matched() const { return matched_; }  // the stop string; "" before

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string matched_;
  bool stopped_ = false;
};

class Answer {
 public:
  // options must be valid; `tokenizer` outlives the object.
  Answer(const tokenizer::Tokenizer* tokenizer, const GenerateOptions& options);

  // Draws a token from `logits` [vocab] behind `history` (prompt and drawn tokens). `room`: how many more positions the context
  // holds; without room for the drawn token the answer ends. Only while not ended(); at least one token must be allowed.
  TokenId Draw(std::span<const float> logits, std::span<const TokenId> history, uint64_t room);
  // Ends it from outside.
  void End(FinishReason reason);

  // Text that has become certain since the last call: whole characters that no stop string can still swallow.
  std::string TakeText() { return std::exchange(certain_, {}); }
  // Bytes of the text that is certain, taken or not: at the end those of the whole answer.
  uint64_t certain_bytes() const { return certain_bytes_; }
  // The same of all that the drawn tokens say, though it may be held back: there the next token's text begins.
  uint64_t drawn_bytes() const { return drawn_bytes_; }

  bool ended() const { return ended_; }
  FinishReason finish() const { return finish_; }
  const std::vector<TokenId>& ids() const { return ids_; }
  const std::string& stop() const { return stops_.matched(); }
  uint64_t seed() const { return sampler_.seed(); }

 private:
  void AddText(TokenId id);
  void AddCertain(std::string_view text);

  const tokenizer::Tokenizer* tokenizer_;
  uint64_t max_tokens_;
  bool ignore_eos_;
  Sampler sampler_;
  tokenizer::StreamDecoder decoder_;
  StopMatcher stops_;
  std::vector<TokenId> ids_;
  std::string certain_;
  uint64_t certain_bytes_ = 0;
  uint64_t drawn_bytes_ = 0;
  bool ended_ = false;
  FinishReason finish_ = FinishReason::kLength;
};

}  // namespace damask::engine
