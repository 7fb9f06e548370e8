#include "tokenizer/thoughts.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace damask::tokenizer {
namespace {

struct Case {
  bool inside;
  std::string_view said;
  std::string_view thoughts;
  std::string_view answer;
};

constexpr Case kCases[] = {
    {false, "<think>\nfirst this,\n\nthen that\n</think>\n\nForty-two.\n", "first this,\n\nthen that", "Forty-two.\n"},
    {false, " \n<think>a</think>b", "a", "b"},
    {false, "<think>\n\n</think>\n\nAt once.", "", "At once."},
    {true, "first this\n</think>\n\nForty-two.", "first this", "Forty-two."},
    {true, "cut off while thinking \n", "cut off while thinking", ""},
    {true, "a < b, </thin", "a < b, </thin", ""},
    {true, " \n ", "", ""},
    {true, "</think>", "", ""},
    {false, "No thoughts.", "", "No thoughts."},
    {false, "\n spaces stay ", "", "\n spaces stay "},
    {false, "<thin air", "", "<thin air"},
    {false, "<thi", "", "<thi"},
    {false, "", "", ""},
    {false, "An answer may say <think>x</think>.", "", "An answer may say <think>x</think>."},
    {false, "<think>a</think>b</think><think>c</think>", "a", "b</think><think>c</think>"},
    {true, "one <think> in it</think>x", "one <think> in it", "x"},
};

TEST(Thoughts, StandApartHoweverTheTextArrives) {
  for (const Case& c : kCases) {
    for (size_t step = 1; step <= c.said.size() + 1; ++step) {
      ThoughtSplitter splitter(c.inside);
      std::string thoughts;
      std::string answer;
      const auto take = [&](const ThoughtSplitter::Text& text) {
        thoughts += text.thoughts;
        answer += text.answer;
      };
      for (size_t at = 0; at < c.said.size(); at += step) take(splitter.Add(c.said.substr(at, step)));
      take(splitter.Finish());
      EXPECT_EQ(thoughts, c.thoughts) << c.said << " by " << step;
      EXPECT_EQ(answer, c.answer) << c.said << " by " << step;
    }
  }
}

TEST(Thoughts, ArriveAsTheyAreThought) {
  ThoughtSplitter splitter(false);
  EXPECT_EQ(splitter.Add("<think>one").thoughts, "one");
  EXPECT_EQ(splitter.Add(" two<").thoughts, " two");
  EXPECT_EQ(splitter.Add("three").thoughts, "<three");
  EXPECT_EQ(splitter.Add("</think>").thoughts, "");
  EXPECT_EQ(splitter.Add("\n\nYes").answer, "Yes");
  EXPECT_EQ(splitter.Add(" \n").answer, " \n");
}

TEST(Thoughts, AreKnownByTheTemplate) {
  EXPECT_TRUE(ThinksAloud("{% set content = content.split('</think>')[-1] %}"));
  EXPECT_FALSE(ThinksAloud("{{ '<|im_start|>' + message['role'] }}"));
  EXPECT_FALSE(ThinksAloud(""));
  const std::string_view qwq = R"({{- '<|im_start|>assistant\n<think>\n' }})";
  EXPECT_TRUE(PromptBeginsThoughts(ChatFamily::kChatMl, qwq));
  EXPECT_FALSE(PromptBeginsThoughts(ChatFamily::kDeepSeekV3, qwq));
  EXPECT_TRUE(PromptBeginsThoughts(ChatFamily::kDeepSeekV3, R"({{'<｜Assistant｜><think>\n'}})"));
  EXPECT_FALSE(PromptBeginsThoughts(ChatFamily::kChatMl, R"({{- '<|im_start|>assistant\n' }})"));
}

}  // namespace
}  // namespace damask::tokenizer
