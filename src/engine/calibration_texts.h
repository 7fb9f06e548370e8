// The texts of a calibration: the built-in ones, or the user's.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/effect.h"
#include "engine/engine.h"

namespace damask::engine {

// All of them look at `cancel` (null: never) before each text, and end with Cancelled. How many texts memory holds is for the
// caller to see (CheckHiddenStatesFit).

// `samples` texts of `tokens` tokens (BOS included where the vocabulary wants one) whose attention is captured. Built-in: prose
// and retrieval in turn, as heads that retrieve look idle on prose.
Result<std::vector<std::vector<TokenId>>> BuiltInSamples(const Engine& engine, uint64_t samples, uint64_t tokens, uint64_t seed,
                                                         const std::atomic<bool>* cancel);

// The same cut out of the user's texts, spread evenly over them. InvalidArgument where a text is shorter than one sample; the
// message begins with its name.
struct NamedText {
  std::string name;
  std::string text;
};
Result<std::vector<std::vector<TokenId>>> SamplesOf(const Engine& engine, const std::vector<NamedText>& texts, uint64_t samples,
                                                    uint64_t tokens, const std::atomic<bool>* cancel);

// `pairs` texts of prose and as many of retrieval, of `tokens` tokens each. Of prose the last three fourths of the positions
// are scored, of retrieval those that predict the values of answers.
Result<std::vector<EffectText>> EffectTexts(const Engine& engine, uint64_t pairs, uint64_t tokens, uint64_t seed,
                                            const std::atomic<bool>* cancel);

// Whether an answer is scored: very short texts have no room for a question, and nothing that is lost shows on them.
bool ScoreAnswers(const std::vector<EffectText>& texts);

}  // namespace damask::engine
