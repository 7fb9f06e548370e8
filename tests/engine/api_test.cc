// The public API (include/damask/damask.h) over the embedded model.
#include "damask/damask.h"

#include <atomic>
#include <stdexcept>

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "tests/temp_dir.h"
#include "tools/make_model/make_model.h"

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

TEST(Api, AnAnswerThatWasCutOffGoesOnBehindAnEmptyPrompt) {
  Model model = Model::Load({.threads = 2}).value();
  const std::vector<TokenId> prompt = Ids(model, kBeginning);
  const Answer whole = model.NewSession().GenerateFromIds(prompt, {.max_tokens = 6, .temperature = 0}).value();
  Session session = model.NewSession();
  EXPECT_EQ(session.GenerateFromIds({}, {}).status().code(), StatusCode::kInvalidArgument);
  std::vector<TokenId> ids = session.GenerateFromIds(prompt, {.max_tokens = 3, .temperature = 0}).value().ids;
  const Answer rest = session.GenerateFromIds({}, {.max_tokens = 3, .temperature = 0}).value();
  EXPECT_EQ(rest.prompt_tokens, 1u);
  ids.insert(ids.end(), rest.ids.begin(), rest.ids.end());
  EXPECT_EQ(ids, whole.ids);
}

TEST(Api, WhatACallbackThrowsLeavesNoTokenTwice) {
  Model model = Model::Load({.threads = 2}).value();
  Session session = model.NewSession();
  ASSERT_TRUE(session.GenerateFromIds(Ids(model, kBeginning), {.max_tokens = 3, .temperature = 0}).ok());
  GenerateOptions throws = {.max_tokens = 3, .temperature = 0};
  throws.on_text = [](std::string_view) { throw std::runtime_error("enough"); };
  EXPECT_THROW((void)session.GenerateFromIds(Ids(model, " and"), throws), std::runtime_error);
  const std::vector<TokenId> next = Ids(model, " the");
  EXPECT_EQ(session.GenerateFromIds(next, {.max_tokens = 3, .temperature = 0}).value().prompt_tokens, next.size());
}

class ApiChat : public ::testing::Test {
 protected:
  ApiChat() {
    ThreadPool pool(1);
    const Status written = make_model::WriteHuggingFaceModel({.vocab = 2000, .context = 512}, dir_.File("model"), &pool);
    EXPECT_TRUE(written.ok()) << written.ToString();
    dir_.Write("model/chat_template.jinja", "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}");
  }

  Model Load() { return Model::Load({.path = dir_.File("model"), .threads = 1}).value(); }
  // Prompt tokens of a conversation's first turn.
  static uint64_t FirstTurn(Model* model, const char* message) {
    return model->NewSession().Chat(message, kShort).value().prompt_tokens;
  }

  static const GenerateOptions kShort;
  test::TempDir dir_;
};
const GenerateOptions ApiChat::kShort = {.max_tokens = 3, .temperature = 0};

TEST_F(ApiChat, GoesOnFromTheConversation) {
  Model model = Load();
  Session session = model.NewSession();
  const Answer first = session.Chat("one", kShort).value();
  EXPECT_EQ(session.length() + 1, first.prompt_tokens + first.ids.size());
  EXPECT_LT(session.Chat("two", kShort).value().prompt_tokens, first.prompt_tokens + FirstTurn(&model, "two"));
  EXPECT_GT(session.length(), FirstTurn(&model, "two") + 3);
}

TEST_F(ApiChat, RefusesToForgetOtherText) {
  Model model = Load();
  Session session = model.NewSession();
  ASSERT_TRUE(session.Generate("A document.", kShort).ok());
  const uint64_t length = session.length();
  EXPECT_EQ(session.Chat("one", kShort).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.length(), length);
}

TEST_F(ApiChat, BeginsAnewBehindTruncate) {
  Model model = Load();
  Session session = model.NewSession();
  ASSERT_TRUE(session.Chat("one", kShort).ok());
  session.Truncate(0);
  EXPECT_EQ(session.Chat("two", kShort).value().prompt_tokens, FirstTurn(&model, "two"));
}

TEST_F(ApiChat, ATurnThatWasCancelledAtOnceWasNotSaid) {
  Model model = Load();
  Session session = model.NewSession();
  const std::atomic<bool> cancel = true;
  GenerateOptions at_once = kShort;
  at_once.cancel = &cancel;
  ASSERT_EQ(session.Chat("one", at_once).value().finish_reason, "cancelled");
  EXPECT_EQ(session.Chat("two", kShort).value().prompt_tokens, FirstTurn(&model, "two"));
}

}  // namespace
}  // namespace damask
