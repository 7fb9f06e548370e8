// How plain text between two special tokens becomes ids, and how a token's text becomes bytes again: one class per vocabulary
// type.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/vocabulary.h"

namespace damask::tokenizer {

enum class FragmentPlace {
  kStartOfText,
  kAfterToken,  // behind a control token or another that is found before all else
  kWithinText,  // goes on a text: no space is put before it
};

// Immutable; thread-safe.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  // Appends the ids of `fragment`, valid UTF-8 and not empty.
  virtual Status Encode(std::string_view fragment, FragmentPlace place, std::vector<TokenId>* ids) const = 0;

  // The bytes that a normal token stands for.
  virtual std::string DecodeText(std::string_view token_text) const = 0;

  // Whether Encode() puts a space before the text, which decoding takes away again.
  virtual bool adds_space() const = 0;
};

// "▁", which stands for a space in SentencePiece vocabularies.
inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

// Every `from` in `text` replaced by `to`.
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to);

// Whether merging can be done word by word: no token goes over the border between another character and a space mark.
bool TokensStayInWords(const Vocabulary& vocabulary);

// The length of the word at the start of `text` (not empty): space marks, then what follows up to the next space mark.
size_t WordLength(std::string_view text);

}  // namespace damask::tokenizer
