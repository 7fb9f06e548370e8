// The words of which the evaluation's keys are made: first-second, an adjective and a noun. They are kept for evaluation:
// calibration texts, and the texts the reference model was trained on, have no key with any of them.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace damask::texts {

inline constexpr size_t kWordsPerHalf = 200;

// Lower-case English words of three to six letters, sorted, each once; no word is in both.
std::span<const std::string_view, kWordsPerHalf> FirstWords();   // adjectives
std::span<const std::string_view, kWordsPerHalf> SecondWords();  // nouns

bool IsEvaluationWord(std::string_view word);

}  // namespace damask::texts
