// Byte-pair encoding: words from a pre-tokenizer, merged by rank, over bytes (GPT-2's alphabet) or over characters with byte
// tokens for the rest (as tokenizer.json writes SentencePiece vocabularies).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/merger.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/text_encoder.h"

namespace damask::tokenizer {

enum class SpacePrefix {
  kNone,
  kAlways,       // before every fragment
  kUnlessThere,  // before every fragment that does not start with a space
  kStartOfText,  // before the text, where it does not start with a space
};

struct BpeOptions {
  bool byte_level = true;
  bool ignore_merges = false;  // a word that is a token as a whole is taken at once
  SpacePrefix space_prefix = SpacePrefix::kNone;
  // Characters only.
  bool split_at_spaces = false;    // every space mark starts a word
  bool byte_fallback = true;       // a character without token becomes the tokens of its bytes
  std::optional<TokenId> unknown;  // for a character without token, where it does not become bytes
  bool join_unknown = false;       // several in a row give one
};

// One merge: the texts of its two sides.
using MergePair = std::pair<std::string_view, std::string_view>;

class BpeEncoder : public TextEncoder {
 public:
  // `vocabulary` must outlive it; `merges` in order of rank. Of equal merges the first counts. A side or a result that is no
  // token is allowed, as in llama.cpp: a word that ends on it is written in single characters. Time and memory: linear in the
  // merges.
  BpeEncoder(const Vocabulary* vocabulary, PreTokenizer pre_tokenizer, BpeOptions options,
             const std::vector<MergePair>& merges);

  Status Encode(std::string_view fragment, FragmentPlace place, std::vector<TokenId>* ids) const override;
  std::string DecodeText(std::string_view token_text) const override;
  bool adds_space() const override { return options_.space_prefix != SpacePrefix::kNone; }

 private:
  class Session;  // the memory of one Encode()

  Symbol SymbolOrNew(std::string_view text);
  void AddMerges(const std::vector<MergePair>& merges);
  std::string Prepare(std::string_view fragment, FragmentPlace place) const;
  Status SplitWords(std::string_view text, std::vector<WordRange>* words) const;

  const Vocabulary* vocabulary_;
  PreTokenizer pre_tokenizer_;
  BpeOptions options_;
  bool word_by_word_ = false;
  std::array<Symbol, 256> byte_symbols_ = {};      // byte level
  std::array<TokenId, 256> byte_tokens_;           // characters; -1: none
  std::unordered_map<std::string, Symbol> parts_;  // merge sides and results that are no tokens
  std::vector<std::string> part_texts_;            // by symbol minus vocabulary size
  MergeTable merges_;
};

}  // namespace damask::tokenizer
