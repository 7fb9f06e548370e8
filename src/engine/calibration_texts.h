// The texts of a calibration: the built-in ones, or the user's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/effect.h"
#include "engine/engine.h"

namespace damask::engine {

// `samples` texts of `tokens` tokens (BOS included where the vocabulary wants one) whose attention is captured. Built-in: prose
// and retrieval in turn, as heads that retrieve look idle on prose.
Result<std::vector<std::vector<TokenId>>> BuiltInSamples(const Engine& engine, uint64_t samples, uint64_t tokens,
                                                         uint64_t seed);

// The same cut out of the user's texts, spread evenly over them. InvalidArgument where a text is shorter than one sample; the
// message begins with its name.
struct NamedText {
  std::string name;
  std::string text;
};
Result<std::vector<std::vector<TokenId>>> SamplesOf(const Engine& engine, const std::vector<NamedText>& texts, uint64_t samples,
                                                    uint64_t tokens);

// `pairs` texts of prose and as many of retrieval, of `tokens` tokens each. Of prose the last three fourths of the positions
// are scored, of retrieval those that predict the values of answers.
Result<std::vector<EffectText>> EffectTexts(const Engine& engine, uint64_t pairs, uint64_t tokens, uint64_t seed);

// Whether an answer is scored: very short texts have no room for a question, and nothing that is lost shows on them.
bool ScoreAnswers(const std::vector<EffectText>& texts);

}  // namespace damask::engine
