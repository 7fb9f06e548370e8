#include "texts/prose.h"

#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/text.h"

namespace damask::texts {
namespace {

size_t LongestParagraph() {
  size_t longest = 0;
  for (const std::string_view paragraph : ProseParagraphs()) longest = std::max(longest, paragraph.size());
  return longest;
}

TEST(Prose, ParagraphsAreAsciiOnOneLineWithoutDigitsAndEndWithAFullStop) {
  for (const std::string_view paragraph : ProseParagraphs()) {
    EXPECT_TRUE(std::all_of(paragraph.begin(), paragraph.end(), [](char c) {
      return c >= ' ' && c < 127 && !(c >= '0' && c <= '9');
    })) << paragraph;
    EXPECT_EQ(paragraph.back(), '.') << paragraph;
  }
}

TEST(Prose, HasMoreThanAHundredDifferentSentences) {
  std::set<std::string> sentences;
  for (const std::string_view paragraph : ProseParagraphs()) {
    for (const std::string_view sentence : Split(paragraph, '.')) sentences.emplace(sentence);
  }
  EXPECT_GT(sentences.size(), 100U);
}

TEST(Prose, IsAsLongAsAskedForToWithinAParagraph) {
  for (const size_t characters : {1U, 1000U, 100000U}) {
    const std::string text = Prose(characters, 1);
    EXPECT_GE(text.size(), characters);
    EXPECT_LE(text.size(), characters + LongestParagraph());
  }
}

TEST(Prose, OfNoCharactersIsEmpty) { EXPECT_EQ(Prose(0, 1), ""); }

TEST(Prose, TheSeedDecidesTheOrder) {
  EXPECT_EQ(Prose(5000, 7), Prose(5000, 7));
  EXPECT_NE(Prose(5000, 7), Prose(5000, 8));
}

TEST(Prose, NoParagraphComesTwiceBeforeAllHaveCome) {
  const std::string text = Prose(20000, 3);
  std::set<std::string_view> seen;
  const std::vector<std::string_view> lines = Split(text, '\n');
  for (size_t i = 0; i < ProseParagraphs().size(); ++i) EXPECT_TRUE(seen.insert(lines.at(i)).second) << lines.at(i);
  EXPECT_EQ(seen.size(), ProseParagraphs().size());
}

}  // namespace
}  // namespace damask::texts
