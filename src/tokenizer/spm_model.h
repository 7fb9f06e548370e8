// The SentencePiece library over a vocabulary that is in memory.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/vocabulary.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace damask::tokenizer {

// Immutable; thread-safe.
class SpmModel {
 public:
  // A BPE model with byte fallback whose pieces are the tokens with `mergeable` set, at their ids. The library refuses empty
  // and repeated pieces: those, and all tokens that merging must not give, stand in it under a name that no text spells.
  static Result<std::unique_ptr<SpmModel>> Create(const Vocabulary& vocabulary, const std::vector<bool>& mergeable);
  ~SpmModel();

  // Appends the ids of `text`, in which spaces are space marks already.
  Status Encode(std::string_view text, std::vector<TokenId>* ids) const;

 private:
  SpmModel();
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace damask::tokenizer
