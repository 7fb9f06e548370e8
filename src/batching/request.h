// What a caller asks of the scheduler, and what comes back while it is worked on. Nothing here knows HTTP.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/generate.h"
#include "model/audit.h"

namespace damask::batching {

using tokenizer::TokenId;

struct Request {
  std::vector<TokenId> prompt;  // at least one
  size_t turn_tokens = 0;       // engine::Session::SetTurnTokens
  // max_tokens 0: the prompt is read into the prefix store and that is all.
  engine::GenerateOptions options;
  // For every drawn token its own log-probability and those of this many likeliest ones (at most limits::kMaxTopLogprobs).
  std::optional<size_t> top_logprobs;
};

// How far the reading of a prompt has come.
struct Progress {
  uint64_t cached_tokens = 0;  // of them: came out of the prefix store
  uint64_t read_tokens = 0;    // including the cached ones
  uint64_t prompt_tokens = 0;
  double seconds = 0;  // since the reading began
};

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;  // natural logarithm, of the model's own distribution (before temperature and penalties)
};

struct DrawnToken {
  TokenId id = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // likeliest first
};

// Text that has become certain and the tokens drawn since the last piece.
struct Piece {
  std::string text;  // whole UTF-8 characters; may be empty in the last piece
  std::vector<TokenId> ids;
  // Where they were asked for, of the tokens whose text has become certain: the tokens of a stop string and the end token have
  // no place in an answer and none here.
  std::vector<DrawnToken> logprobs;
};

struct Usage {
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;      // of the prompt: not read again
  uint64_t read_tokens = 0;        // of the prompt: in the cache, so far
  uint64_t completion_tokens = 0;  // drawn, an end token included
  uint64_t guessed = 0;            // tokens that were guessed, and how many of them were right
  uint64_t guessed_right = 0;
  double queue_seconds = 0;    // from Submit to the first chunk
  double prefill_seconds = 0;  // from the first chunk to the first token
  double decode_seconds = 0;
  model::SegmentReport prefill;
  model::SegmentReport decode;
  model::HeadAudit audit;  // of both, summed over all heads; rows == 0: nothing was audited
};

struct Outcome {
  Status status;  // kCancelled is none: finish says it; kTooLarge: the prompt was not read in the time of a request
  engine::FinishReason finish = engine::FinishReason::kLength;
  std::string stop;  // the stop string that was met, if one was
  uint64_t seed = 0;
  Usage usage;
};

// Called on the compute thread: must return at once. Calls for one request come in order; OnDone is the last. What is thrown
// (no memory) ends the request with an error; out of OnDone it is only noted.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void OnProgress(const Progress&) {}
  virtual void OnPiece(Piece&& piece) = 0;
  virtual void OnDone(const Outcome& outcome) = 0;
};

}  // namespace damask::batching
