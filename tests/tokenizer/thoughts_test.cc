#include "tokenizer/thoughts.h"

#include <span>
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

// Every case in pieces of every length. make(inside) gives the splitter.
template <class Make>
void ExpectSplits(std::span<const Case> cases, const Make& make) {
  for (const Case& c : cases) {
    for (size_t step = 1; step <= c.said.size() + 1; ++step) {
      auto splitter = make(c.inside);
      std::string thoughts;
      std::string answer;
      const auto take = [&](const SplitAnswer& text) {
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

TEST(Thoughts, StandApartHoweverTheTextArrives) {
  ExpectSplits(kCases, [](bool inside) { return ThinkSplitter(inside); });
}

TEST(Thoughts, MayHaveOtherMarks) {
  constexpr Case kSeedCases[] = {
      {false, "<seed:think>a <think> b</seed:think>c", "a <think> b", "c"},
      {true, "The budget is 0.\n</seed:think>c", "The budget is 0.", "c"},
      {false, "<think>a</think>c", "", "<think>a</think>c"},
  };
  ExpectSplits(kSeedCases, [](bool inside) { return ThinkSplitter(inside, kSeedThinkMarks); });
}

TEST(Thoughts, ArriveAsTheyAreThought) {
  ThinkSplitter splitter(false);
  EXPECT_EQ(splitter.Add("<think>one").thoughts, "one");
  EXPECT_EQ(splitter.Add(" two<").thoughts, " two");
  EXPECT_EQ(splitter.Add("three").thoughts, "<three");
  EXPECT_EQ(splitter.Add("</think>").thoughts, "");
  EXPECT_EQ(splitter.Add("\n\nYes").answer, "Yes");
  EXPECT_EQ(splitter.Add(" \n").answer, " \n");
}

const Case kChannelCases[] = {
    {false, "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>final<|message|>Four.", "Add them.",
     "Four."},
    {false, "<|channel|>final<|message|>At once.", "", "At once."},
    {false, "<|channel|>analysis<|message|>cut off while thinking", "cut off while thinking", ""},
    {false, "<|channel|>analysis<|message|>a <|b|> c<|en", "a <|b|> c<|en", ""},
    {false, "<|channel|>analysis<|message|>one<|end|><|start|>assistant<|channel|>analysis<|message|>two", "one\n\ntwo", ""},
    {false, "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|chan", "x", ""},
    {false, "<|channel|>ana", "", ""},
    {false, "<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>final<|message|>Then.", "",
     "First.\n\nThen."},
    {false, " to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}", "", "{}"},
    {false, "<|message|>No channel.", "", "No channel."},
    {false, "No marks.", "", "No marks."},
    {false, "<|thin", "", "<|thin"},
    {false, "<|", "", "<|"},
    {false, "", "", ""},
    {true, "Opened by the prompt.", "", "Opened by the prompt."},
    {true, "a<|end|><|start|>assistant<|channel|>analysis<|message|>b", "b", "a"},
};

TEST(Thoughts, InAChannelOfTheirOwnStandApartHoweverTheTextArrives) {
  ExpectSplits(kChannelCases, [](bool inside) {
    return ThoughtSplitter(ChatFamily::kGptOss, "", inside ? Thoughts::kNone : Thoughts::kAsTheModel);
  });
}

TEST(Thoughts, AreTakenFromEarlierAnswersWhateverTheirMarks) {
  EXPECT_EQ(WithoutThoughts(ChatFamily::kGptOss,
                            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b"),
            "b");
  EXPECT_EQ(WithoutThoughts(ChatFamily::kGptOss, "<think>\na\n</think>\n\nb"), "b");
  EXPECT_EQ(WithoutThoughts(ChatFamily::kGptOss, "b"), "b");
  EXPECT_EQ(WithoutThoughts(ChatFamily::kGptOss, "Write <|channel|> before the name."), "Write <|channel|> before the name.");
}

TEST(Thoughts, AreKnownByTheTemplate) {
  EXPECT_TRUE(ThinksAloud(ChatFamily::kChatMl, "{% set content = content.split('</think>')[-1] %}"));
  EXPECT_FALSE(ThinksAloud(ChatFamily::kChatMl, "{{ '<|im_start|>' + message['role'] }}"));
  EXPECT_FALSE(ThinksAloud(ChatFamily::kChatMl, ""));
  EXPECT_TRUE(ThinksAloud(ChatFamily::kGptOss, "<|channel|>"));
  const std::string_view qwq = R"({{- '<|im_start|>assistant\n<think>\n' }})";
  EXPECT_EQ(ThoughtsOpening(ChatFamily::kChatMl, qwq), "<think>\n");
  EXPECT_EQ(ThoughtsOpening(ChatFamily::kDeepSeekV3, qwq), "");
  EXPECT_EQ(ThoughtsOpening(ChatFamily::kDeepSeekV3, R"({{'<｜Assistant｜><think>\n'}})"), "<think>\n");
  EXPECT_EQ(ThoughtsOpening(ChatFamily::kChatMl, R"({{- '<|im_start|>assistant\n' }})"), "");
}

}  // namespace
}  // namespace damask::tokenizer
