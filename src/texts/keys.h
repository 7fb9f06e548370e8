// Keys, values and names of the evaluation's facts, each drawn once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "texts/random.h"
#include "texts/words.h"

namespace damask::texts {

inline constexpr size_t kMaxKeys = kWordsPerHalf * kWordsPerHalf;
inline constexpr uint64_t kFirstValue = 10000;
inline constexpr uint64_t kLastValue = 99999;
// Values of five digits with this remainder are the evaluation's; all others are for training and calibration.
inline constexpr uint64_t kValueModulus = 7;
inline constexpr uint64_t kEvaluationRemainder = 3;

inline constexpr bool IsEvaluationValue(uint64_t value) { return value % kValueModulus == kEvaluationRemainder; }

// `count` different keys "able-ant", at most kMaxKeys.
std::vector<std::string> DrawKeys(size_t count, Random* random);

// `count` evaluation values. The first `distinct` of them differ from all others; values repeat only when there are more facts
// than values (12,857).
std::vector<std::string> DrawValues(size_t count, size_t distinct, Random* random);

// `count` different names of three upper-case letters, at most 26^3.
std::vector<std::string> DrawNames(size_t count, Random* random);

// `count` different words that no language has, of three open syllables ("bakumi").
std::vector<std::string> InventWords(size_t count, Random* random);

}  // namespace damask::texts
