#include "texts/keys.h"

#include <numeric>
#include <string_view>

namespace damask::texts {
namespace {

constexpr std::string_view kConsonants = "bdfgklmnprstvz";
constexpr std::string_view kVowels = "aeiou";
constexpr size_t kSyllables = kConsonants.size() * kVowels.size();

// The numbers below `bound` in random order, the first `count` of them.
std::vector<size_t> DrawIndices(size_t bound, size_t count, Random* random) {
  std::vector<size_t> indices(bound);
  std::iota(indices.begin(), indices.end(), size_t{0});
  random->Shuffle(&indices);
  indices.resize(count);
  return indices;
}

std::string Syllable(size_t index) { return {kConsonants[index / kVowels.size()], kVowels[index % kVowels.size()]}; }

}  // namespace

std::vector<std::string> DrawKeys(size_t count, Random* random) {
  std::vector<std::string> keys;
  keys.reserve(count);
  for (const size_t index : DrawIndices(kMaxKeys, count, random)) {
    keys.push_back(std::string(FirstWords()[index / kWordsPerHalf]) + "-" + std::string(SecondWords()[index % kWordsPerHalf]));
  }
  return keys;
}

std::vector<std::string> DrawValues(size_t count, size_t distinct, Random* random) {
  std::vector<uint64_t> all;
  for (uint64_t value = kFirstValue; value <= kLastValue; ++value) {
    if (IsEvaluationValue(value)) all.push_back(value);
  }
  random->Shuffle(&all);
  std::vector<std::string> values;
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    values.push_back(std::to_string(i < all.size() ? all[i] : all[distinct + (i - distinct) % (all.size() - distinct)]));
  }
  return values;
}

std::vector<std::string> DrawNames(size_t count, Random* random) {
  std::vector<std::string> names;
  names.reserve(count);
  for (const size_t index : DrawIndices(size_t{26} * 26 * 26, count, random)) {
    names.push_back(
        {static_cast<char>('A' + index / 676), static_cast<char>('A' + index / 26 % 26), static_cast<char>('A' + index % 26)});
  }
  return names;
}

std::vector<std::string> InventWords(size_t count, Random* random) {
  std::vector<std::string> words;
  words.reserve(count);
  for (const size_t index : DrawIndices(kSyllables * kSyllables * kSyllables, count, random)) {
    words.push_back(Syllable(index / (kSyllables * kSyllables)) + Syllable(index / kSyllables % kSyllables) +
                    Syllable(index % kSyllables));
  }
  return words;
}

}  // namespace damask::texts
