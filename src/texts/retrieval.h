// A text to calibrate on: prose, facts, and questions about facts that stand far back, with their answers. A mask that loses
// retrieval shows on it; on prose alone it would not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace damask::texts {

struct RetrievalTokens {
  std::vector<tokenizer::TokenId> ids;
  std::vector<bool> is_answer;  // of each token: whether it holds part of what answers a question
};

// Exactly `tokens` tokens (no BOS). The first part is facts in the formats of facts.h, mixed with prose; from a fourth of the
// text on questions and answers come between new facts and prose. A fact is asked for once, when at least an eighth of the text
// lies between, anywhere before that. Keys are made of plain words of the model's own vocabulary, never of the evaluation's;
// values are never the evaluation's. Some facts are chains of variables (RULER's variable tracking), asked for by their value:
// what one step after another has to look up.
// Errors: those of the tokenizer; Unsupported for one whose tokens do not spell the text.
Result<RetrievalTokens> RetrievalText(const tokenizer::Tokenizer& tokenizer, size_t tokens, uint64_t seed);

// Lower-case ASCII words of 3 to 10 letters that are single tokens (with or without a space in front), without the evaluation's
// words; sorted. Syllables that are no words stand in where a vocabulary has fewer than a hundred.
std::vector<std::string> VocabularyWords(const tokenizer::Tokenizer& tokenizer);

}  // namespace damask::texts
