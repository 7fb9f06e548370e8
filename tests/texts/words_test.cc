#include "texts/words.h"

#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace damask::texts {
namespace {

void ExpectPlainWords(std::span<const std::string_view> words) {
  EXPECT_TRUE(std::is_sorted(words.begin(), words.end()));
  for (const std::string_view word : words) {
    EXPECT_GE(word.size(), 3U) << word;
    EXPECT_LE(word.size(), 6U) << word;
    EXPECT_TRUE(std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; })) << word;
  }
}

TEST(Words, AreSortedLowerCaseAndThreeToSixLettersLong) {
  ExpectPlainWords(FirstWords());
  ExpectPlainWords(SecondWords());
}

TEST(Words, EveryWordIsInTheListsOnce) {
  std::set<std::string_view> all(FirstWords().begin(), FirstWords().end());
  all.insert(SecondWords().begin(), SecondWords().end());
  EXPECT_EQ(all.size(), 2 * kWordsPerHalf);
}

TEST(Words, KnowsItsOwnWordsOnly) {
  EXPECT_TRUE(IsEvaluationWord(FirstWords().front()));
  EXPECT_TRUE(IsEvaluationWord(SecondWords().back()));
  EXPECT_FALSE(IsEvaluationWord("register"));
  EXPECT_FALSE(IsEvaluationWord(""));
}

}  // namespace
}  // namespace damask::texts
