// The public API (include/damask/damask.h) over the embedded model.
#include "damask/damask.h"

#include <atomic>

#include <gtest/gtest.h>

namespace damask {
namespace {

constexpr const char* kBeginning = "In the beginning God created the";

std::vector<TokenId> Ids(const Model& model, const std::string& text) { return model.Tokenize(text).value(); }

TEST(Api, ASessionGoesOnBehindTheWholeOfItsOwnAnswer) {
  Model model = Model::Load({.threads = 2}).value();
  const GenerateOptions greedy = {.max_tokens = 6, .temperature = 0};
  Session parted = model.NewSession();
  const std::vector<TokenId> prompt = Ids(model, kBeginning);
  const Answer first = parted.GenerateFromIds(prompt, greedy).value();
  ASSERT_EQ(first.ids.size(), 6u);
  const std::vector<TokenId> next = Ids(model, " and the");
  const Answer second = parted.GenerateFromIds(next, greedy).value();

  Session whole = model.NewSession();
  std::vector<TokenId> all = prompt;
  all.insert(all.end(), first.ids.begin(), first.ids.end());
  all.insert(all.end(), next.begin(), next.end());
  EXPECT_EQ(whole.GenerateFromIds(all, greedy).value().ids, second.ids);
  EXPECT_EQ(whole.length(), parted.length());
}

TEST(Api, ACallThatIsCancelledAtOnceTakesNothingAway) {
  Model model = Model::Load({.threads = 2}).value();
  const GenerateOptions greedy = {.max_tokens = 3, .temperature = 0};
  const std::vector<TokenId> next = Ids(model, " and the");
  std::vector<Answer> answers;
  for (const bool cancelled : {false, true}) {
    Session session = model.NewSession();
    ASSERT_TRUE(session.GenerateFromIds(Ids(model, kBeginning), greedy).ok());
    const std::atomic<bool> cancel = true;
    GenerateOptions at_once = greedy;
    at_once.cancel = &cancel;
    const uint64_t length = session.length();
    if (cancelled) {
      ASSERT_EQ(session.GenerateFromIds(next, at_once).value().finish_reason, "cancelled");
      ASSERT_EQ(session.length(), length);
    }
    answers.push_back(session.GenerateFromIds(next, greedy).value());
  }
  EXPECT_EQ(answers[0].ids, answers[1].ids);
  EXPECT_EQ(answers[0].prompt_tokens, answers[1].prompt_tokens);
}

TEST(Api, WhatIsCutOffIsNotGoneOnFrom) {
  Model model = Model::Load({.threads = 2}).value();
  Session session = model.NewSession();
  const std::vector<TokenId> prompt = Ids(model, kBeginning);
  const Answer first = session.GenerateFromIds(prompt, {.max_tokens = 3, .temperature = 0}).value();
  session.Truncate(0);
  EXPECT_EQ(session.GenerateFromIds(prompt, {.max_tokens = 3, .temperature = 0}).value().ids, first.ids);
}

}  // namespace
}  // namespace damask
