#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "texts/facts.h"
#include "texts/fit.h"
#include "texts/keys.h"
#include "texts/task_builders.h"
#include "texts/words.h"

namespace damask::texts {
namespace {

constexpr uint64_t kCommonTimes = 10;  // as often as a rare word
constexpr uint64_t kInventedWords = 2000;
constexpr uint64_t kTopWords = 3;
constexpr uint64_t kLeastZipfWords = 100;  // the third then leads the fourth by 7 to 4

void Repeat(const std::string& word, uint64_t times, std::vector<std::string>* words) {
  words->insert(words->end(), times, word);
}

Sample AskWords(std::vector<std::string> words, Random* random, std::string question, std::string prefix,
                std::vector<std::string> expected) {
  random->Shuffle(&words);
  Sample sample;
  sample.text = WordList(words);
  sample.question = std::move(question);
  sample.prefix = std::move(prefix);
  sample.answer = sample.prefix + " " + Enumerate(expected) + "\n";
  sample.expected = std::move(expected);
  sample.metric = Metric::kAllSubstrings;
  return sample;
}

// About `total` words: `common` of them come kCommonTimes as often as all the others. More words than the lists have are had by
// repeating all of them.
Sample BuildCwe(uint64_t seed, uint64_t common, uint64_t total) {
  Random random(seed);
  std::vector<std::string> all(FirstWords().begin(), FirstWords().end());
  all.insert(all.end(), SecondWords().begin(), SecondWords().end());
  random.Shuffle(&all);
  const uint64_t most = kCommonTimes * common + all.size() - common;
  const uint64_t rare_times = (total + most - 1) / most;
  const uint64_t rare = std::min(all.size() - common, total / rare_times - kCommonTimes * common);
  std::vector<std::string> words;
  for (uint64_t i = 0; i < common; ++i) Repeat(all[i], kCommonTimes * rare_times, &words);
  for (uint64_t i = 0; i < rare; ++i) Repeat(all[common + i], rare_times, &words);
  all.resize(common);
  return AskWords(std::move(words), &random, fmt::format("What are the {} most common words?\n", common),
                  "The most common words are:", std::move(all));
}

// `total` words; the k-th most frequent one comes in proportion to 1 / k^2, at least once.
Sample BuildFwe(uint64_t seed, uint64_t total) {
  Random random(seed);
  std::vector<std::string> invented = InventWords(kInventedWords, &random);
  const double scale = static_cast<double>(total) * 6 / (std::numbers::pi * std::numbers::pi);
  std::vector<std::string> words;
  for (uint64_t k = 1; words.size() < total; ++k) {
    const auto times = static_cast<uint64_t>(std::llround(scale / static_cast<double>(k * k)));
    const uint64_t left = total - words.size();
    Repeat(invented[(k - 1) % invented.size()], std::min(left, std::max<uint64_t>(1, times)), &words);
  }
  invented.resize(kTopWords);
  return AskWords(std::move(words), &random, "What are the three most frequent words?\n",
                  "The most frequent words are:", std::move(invented));
}

}  // namespace

Result<Sample> MakeCwe(const TaskOptions& options, const CountTokens& count) {
  // So many rare words at least that the common ones have to be found.
  const uint64_t least = (kCommonTimes + 2) * options.words;
  return FitSample(options.tokens, {.min_units = least}, count,
                   [&](uint64_t words) { return BuildCwe(options.seed, options.words, words); });
}

Result<Sample> MakeFwe(const TaskOptions& options, const CountTokens& count) {
  return FitSample(options.tokens, {.min_units = kLeastZipfWords}, count,
                   [&](uint64_t words) { return BuildFwe(options.seed, words); });
}

}  // namespace damask::texts
