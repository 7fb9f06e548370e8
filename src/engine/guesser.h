// Guesses of the tokens to come, where a text repeats itself: what followed the last time that its latest tokens stood there
// (answers that quote, code that is edited). Guesses are checked together in one batch, so a good one costs next to nothing and
// a bad one changes no answer. Source: Yang et al., Inference with Reference: Lossless Acceleration of Large Language Models
// (arXiv 2304.04487).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace damask::engine {

class Guesser {
 public:
  // Gives at most `most` guesses at a time, and no more than fit a decode batch behind a drawn token; 0: none.
  explicit Guesser(size_t most);

  // What may follow `text` and `next`; the text begins as that of the last call and its `next` did. As many tokens as those
  // before agree, so that a chance likeness of a few does not cost much; at most `room`. Valid until the next call.
  std::span<const tokenizer::TokenId> Guess(std::span<const tokenizer::TokenId> text, tokenizer::TokenId next, uint64_t room);
  // How many of the last guesses were right: where most were wrong, more tokens must agree before the next ones.
  void Judge(size_t right);

 private:
  using TokenId = tokenizer::TokenId;

  void Learn();

  static constexpr size_t kRun = 3;  // tokens that must agree at least

  size_t most_;
  size_t wanted_ = kRun;                       // that must agree now
  std::vector<TokenId> text_;                  // up to the last call's `next`
  size_t learned_ = 0;                         // runs up to this end are in the table
  std::unordered_map<uint64_t, size_t> ends_;  // by a run's hash: behind its latest token, where it stood last
  std::vector<TokenId> guesses_;
};

}  // namespace damask::engine
