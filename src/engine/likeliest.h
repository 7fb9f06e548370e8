// The likeliest tokens of a vocabulary, found without sorting it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace damask::engine {

using tokenizer::TokenId;

// Index of the largest value, the lower index on ties.
TokenId Argmax(std::span<const float> logits);

struct RankedToken {
  float logit = 0;
  TokenId id = 0;
};

// The order of likelihood: ties go to the lower id.
inline bool Likelier(const RankedToken& a, const RankedToken& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Finds them again and again without new memory.
class Likeliest {
 public:
  // Puts the `count` likeliest of `logits` [vocab], all where there are fewer, into `best`, in any
  // order.
  void Find(std::span<const float> logits, size_t count, std::vector<RankedToken>* best);

 private:
  float Bar(std::span<const float> logits, size_t count);

  std::vector<float> maxima_;   // of blocks of logits
  std::vector<float> ordered_;  // the same while they are put in order
};

}  // namespace damask::engine
