// English prose to hide facts in, and to calibrate on: short paragraphs on many subjects, part of the program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "texts/random.h"
#include "tokenizer/tokenizer.h"

namespace damask::texts {

// ASCII, one paragraph each, sentences one space apart and ended by a full stop, no digits, no line break.
std::span<const std::string_view> ProseParagraphs();

struct ProseSentence {
  std::string_view text;  // with its full stop
  bool ends_paragraph = false;
};

// Sentences without end: paragraphs in an order drawn from `seed`; every one comes once before one comes again, in a new order.
class ProseReader {
 public:
  explicit ProseReader(uint64_t seed);
  ProseSentence Next();

 private:
  std::string_view NextParagraph();

  Random random_;
  std::vector<size_t> order_;
  size_t next_;
  std::string_view rest_;  // of the paragraph
};

// At least `characters` characters and at most one paragraph more: whole paragraphs in the reader's order, a line each.
std::string Prose(size_t characters, uint64_t seed);

// The first `tokens` tokens of that prose, without BOS. Errors: those of the tokenizer.
Result<std::vector<tokenizer::TokenId>> ProseTokens(const tokenizer::Tokenizer& tokenizer, size_t tokens, uint64_t seed);

}  // namespace damask::texts
