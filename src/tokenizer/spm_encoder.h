// SentencePiece-type vocabularies ("llama"): greedy merging by score, bytes for what no token covers.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/merger.h"
#include "tokenizer/spm_model.h"
#include "tokenizer/text_encoder.h"

namespace damask::tokenizer {

struct SpmOptions {
  bool add_space_prefix = true;  // a space before a fragment that starts the text or follows a token
};

// Words go through the SentencePiece library. Two cases do not: long words, for which the library takes gigabytes and tens of
// seconds (10 MB of one letter: 1.2 GB, 11 s), and vocabularies whose tokens cross word borders, where all of a text is one
// word. They go through our own merging, which gives the same ids (tests/tokenizer/spm_test.cc compares the two).
class SpmEncoder : public TextEncoder {
 public:
  // `vocabulary` must outlive it. Errors: BadFormat where byte tokens are missing or a score is not a number.
  static Result<std::unique_ptr<SpmEncoder>> Create(const Vocabulary* vocabulary, SpmOptions options);

  Status Encode(std::string_view fragment, FragmentPlace place, std::vector<TokenId>* ids) const override;
  std::string DecodeText(std::string_view token_text) const override;
  bool adds_space() const override { return options_.add_space_prefix; }

  // The two ways, for tests: `text` has space marks for spaces and gets no prefix.
  Status EncodeByLibrary(std::string_view text, std::vector<TokenId>* ids) const { return model_->Encode(text, ids); }
  Status EncodeByMerging(std::string_view text, std::vector<TokenId>* ids) const;

 private:
  SpmEncoder(const Vocabulary* vocabulary, SpmOptions options) : vocabulary_(vocabulary), options_(options) {}
  Status FindMergeable();
  void BuildMergeTable();
  Symbol SymbolOf(std::string_view character) const;
  void AddSplits(TokenId id, uint32_t rank);

  const Vocabulary* vocabulary_;
  SpmOptions options_;
  std::array<TokenId, 256> byte_tokens_ = {};
  std::vector<bool> mergeable_;                              // by id: may come out of merging
  std::unordered_map<std::string_view, Symbol> characters_;  // those that occur in tokens without being one
  MergeTable merges_;
  std::unique_ptr<SpmModel> model_;
  bool word_by_word_ = false;
};

}  // namespace damask::tokenizer
