// The public API (include/damask/damask.h) over the embedded model.
#include "damask/damask.h"

#include <atomic>
#include <new>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "tests/failing_new.h"
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

// The embedded model's vocabulary puts a space before a text, but not before what goes on a text.
TEST(Api, ATextMayComeInParts) {
  Model model = Model::Load({.threads = 2}).value();
  Session session = model.NewSession();
  const GenerateOptions read_only = {.max_tokens = 0};
  ASSERT_TRUE(session.Generate("In the begin", read_only).ok());
  ASSERT_TRUE(session.Generate("ning God", read_only).ok());
  EXPECT_EQ(model.Detokenize(session.tokens()), "In the beginning God");
}

TEST(Api, TruncateForgetsWhatIsThereAndACutOffAnswersLastToken) {
  Model model = Model::Load({.threads = 2}).value();
  const std::vector<TokenId> prompt = Ids(model, kBeginning);
  const GenerateOptions three = {.max_tokens = 3, .temperature = 0};
  const Answer whole = model.NewSession().GenerateFromIds(prompt, {.max_tokens = 6, .temperature = 0}).value();
  Session session = model.NewSession();
  std::vector<TokenId> ids = session.GenerateFromIds(prompt, three).value().ids;
  const uint64_t length = session.length();
  EXPECT_EQ(length, prompt.size() + 2);
  session.Truncate(length + 1);  // nothing stands there
  session.Truncate(1000000);
  EXPECT_EQ(session.length(), length);
  const Answer rest = session.GenerateFromIds({}, three).value();
  ids.insert(ids.end(), rest.ids.begin(), rest.ids.end());
  EXPECT_EQ(ids, whole.ids);
  session.Truncate(session.length());
  EXPECT_EQ(session.length(), length + 3);
  EXPECT_EQ(session.GenerateFromIds({}, three).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.GenerateFromIds({ids.back()}, three).value().prompt_tokens, 1u);
}

TEST(Api, TokensAreThoseOfTheCache) {
  Model model = Model::Load({.threads = 2}).value();
  Session session = model.NewSession();
  std::vector<TokenId> ids = Ids(model, kBeginning);
  const Answer answer = session.GenerateFromIds(ids, {.max_tokens = 3, .temperature = 0}).value();
  ids.insert(ids.end(), answer.ids.begin(), answer.ids.end() - 1);
  EXPECT_EQ(session.tokens(), ids);
  session.Truncate(5);
  ids.resize(5);
  EXPECT_EQ(session.tokens(), ids);
}

TEST(Api, AForkGoesOnAsItsOriginWouldAndBothGoTheirOwnWays) {
  Model model = Model::Load({.threads = 2, .policy = "streaming:sinks=4,window=64"}).value();
  const GenerateOptions greedy = {.max_tokens = 5, .temperature = 0};
  std::vector<TokenId> prompt;
  for (int i = 0; i < 20; ++i) {
    for (const TokenId id : Ids(model, kBeginning)) prompt.push_back(id);
  }
  const std::vector<TokenId> next = Ids(model, " and the");
  Session origin = model.NewSession();
  const Answer first = origin.GenerateFromIds(prompt, greedy).value();
  Session fork = origin.Fork().value();
  EXPECT_EQ(fork.tokens(), origin.tokens());
  const Answer other = fork.GenerateFromIds(Ids(model, " It is not"), greedy).value();
  const Answer second = origin.GenerateFromIds(next, greedy).value();
  Session alone = model.NewSession();
  EXPECT_EQ(alone.GenerateFromIds(prompt, greedy).value().ids, first.ids);
  EXPECT_EQ(alone.GenerateFromIds(next, greedy).value().ids, second.ids);
  EXPECT_NE(other.ids, second.ids);
  Session third = model.NewSession().Fork().value();
  EXPECT_EQ(third.length(), 0u);
  EXPECT_EQ(third.GenerateFromIds(prompt, greedy).value().ids, first.ids);
}

TEST(Api, APolicyThatCannotForkSaysSo) {
  Model model = Model::Load({.threads = 1, .policy = "h2o:budget=64"}).value();
  Session session = model.NewSession();
  ASSERT_TRUE(session.Generate(kBeginning, {.max_tokens = 2}).ok());
  EXPECT_EQ(session.Fork().status().code(), StatusCode::kUnsupported);
}

TEST(Api, SessionsOnSeveralThreadsGiveTheAnswersOfEachAlone) {
  Model model = Model::Load({.threads = 2}).value();
  const std::vector<TokenId> prompt = Ids(model, kBeginning);
  const auto answer = [&](const GenerateOptions& options) {
    Session session = model.NewSession();
    return session.GenerateFromIds(prompt, options).value().ids;
  };
  const GenerateOptions greedy = {.max_tokens = 8, .temperature = 0};
  const std::vector<TokenId> expected = answer(greedy);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      GenerateOptions options = greedy;
      if (t > 0) options.on_text = [](std::string_view) { std::this_thread::yield(); };
      for (int i = 0; i < 10; ++i) wrong += answer(options) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

// While a callback runs, others have the engine: those it calls itself, and those it waits for.
TEST(Api, ACallbackMayUseAndAwaitOtherSessionsButNotItsOwn) {
  Model model = Model::Load({.threads = 2, .policy = "streaming:sinks=4,window=64"}).value();
  std::vector<TokenId> prompt;
  for (int i = 0; i < 30; ++i) {
    for (const TokenId id : Ids(model, kBeginning)) prompt.push_back(id);
  }
  GenerateOptions options = {.max_tokens = 4, .temperature = 0};
  const Answer expected = model.NewSession().GenerateFromIds(prompt, options).value();
  Session session = model.NewSession();
  options.on_text = [&](std::string_view) {
    Session other = model.NewSession();
    EXPECT_TRUE(other.Generate(kBeginning, {.max_tokens = 2}).ok());
    std::thread([&] { EXPECT_TRUE(other.Generate(" and", {.max_tokens = 2}).ok()); }).join();
    EXPECT_EQ(session.Generate(" and", {}).status().code(), StatusCode::kInvalidArgument);
    session.Truncate(0);
  };
  const Answer answer = session.GenerateFromIds(prompt, options).value();
  EXPECT_EQ(answer.ids, expected.ids);
  EXPECT_EQ(answer.density_prefill, expected.density_prefill);
  EXPECT_EQ(answer.density_decode, expected.density_decode);
  EXPECT_LT(answer.density_decode, 0.9);
  EXPECT_TRUE(session.Generate(" and", {.max_tokens = 1}).ok());
}

TEST(Api, WhatACallbackThrowsArrivesWhateverItIs) {
  Model model = Model::Load({.threads = 1}).value();
  Session session = model.NewSession();
  EXPECT_THROW((void)session.Generate(kBeginning, {.on_text = [](std::string_view) { throw std::bad_alloc(); }}),
               std::bad_alloc);
  EXPECT_THROW((void)session.Generate(kBeginning, {.on_progress = [](uint64_t, uint64_t) { throw 7; }}), int);
  EXPECT_TRUE(session.Generate(kBeginning, {.max_tokens = 1}).ok());
}

// With 0, 1, 2, 4, ... allocations until it comes through.
template <typename F>
size_t FailuresUntilItWorks(F attempt) {
  size_t failures = 0;
  for (size_t allowed = 0;; allowed += 1 + allowed / 4, ++failures) {
    const Status status = attempt(allowed);
    if (status.ok()) return failures;
    EXPECT_EQ(status.code(), StatusCode::kOutOfMemory) << status.ToString();
    if (failures > 200) return 0;
  }
}

TEST(Api, WithoutMemoryEveryCallIsAnErrorAndTheSessionGoesOn) {
  Model model = Model::Load({.threads = 1}).value();
  const GenerateOptions greedy = {.max_tokens = 3, .temperature = 0};
  const std::vector<TokenId> prompt = Ids(model, kBeginning);
  const Answer expected = model.NewSession().GenerateFromIds(prompt, greedy).value();
  Session session = model.NewSession();
  std::vector<TokenId> ids;
  EXPECT_GT(FailuresUntilItWorks([&](size_t allowed) {
              session.Truncate(0);
              const test::FailingNew failing(allowed);
              Result<Answer> answer = session.GenerateFromIds(prompt, greedy);
              if (answer.ok()) ids = std::move(answer->ids);
              return answer.status();
            }),
            5u);
  EXPECT_EQ(ids, expected.ids);
  EXPECT_GT(FailuresUntilItWorks([&](size_t allowed) {
              const test::FailingNew failing(allowed);
              return session.Fork().status();
            }),
            2u);
  EXPECT_GT(FailuresUntilItWorks([&](size_t allowed) {
              const test::FailingNew failing(allowed);
              return model.Tokenize(kBeginning).status();
            }),
            2u);
}

TEST(Api, ASessionForWhichThereWasNoMemorySaysSo) {
  Model model = Model::Load({.threads = 1}).value();
  std::optional<Session> session;
  {
    const test::FailingNew failing(1);
    session.emplace(model.NewSession());
  }
  EXPECT_EQ(session->Generate(kBeginning, {}).status().code(), StatusCode::kOutOfMemory);
  EXPECT_EQ(session->GenerateFromIds({1}, {}).status().code(), StatusCode::kOutOfMemory);
  EXPECT_EQ(session->Chat("one", {}).status().code(), StatusCode::kOutOfMemory);
  EXPECT_EQ(session->Fork().status().code(), StatusCode::kOutOfMemory);
  session->Truncate(0);
  EXPECT_EQ(session->length() + session->kv_bytes() + session->tokens().size(), 0u);
}

// Only where it is our code that wants memory: SentencePiece and the JSON library cannot take down what they have half built.
TEST(Api, LoadWithoutMemoryIsAnError) {
  for (size_t allowed = 0; allowed < 20; ++allowed) {
    const test::FailingNew failing(allowed);
    EXPECT_EQ(Model::Load({.threads = 1}).status().code(), StatusCode::kOutOfMemory) << allowed;
  }
}

TEST(Api, OptionsReachTheEngine) {
  const Result<Model> stretched = Model::Load({.threads = 1, .rope_scaling = "linear", .rope_scale = 2});
  Model model = Model::Load({.threads = 1, .repack = true}).value();
  EXPECT_EQ(stretched.value().info().context, 2 * model.info().context);
  EXPECT_EQ(Model::Load({.rope_scaling = "cubic"}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Model::Load({.rope_base = -1}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Model::Load({.rope_original_context = 100}).status().code(), StatusCode::kInvalidArgument);
  Session session = model.NewSession();
  EXPECT_EQ(session.Generate("a", {.presence_penalty = 3}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Generate("a", {.frequency_penalty = -3}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.length(), 0u);

  const std::vector<TokenId> prompt = Ids(model, "one two three one two three one two three one two");
  GenerateOptions options = {.max_tokens = 12, .temperature = 0};
  const std::vector<TokenId> plain = model.NewSession().GenerateFromIds(prompt, options).value().ids;
  options.guesses = 4;
  EXPECT_EQ(model.NewSession().GenerateFromIds(prompt, options).value().ids, plain);
  options.repeat_penalty = 100;
  const std::vector<TokenId> varied = model.NewSession().GenerateFromIds(prompt, options).value().ids;
  EXPECT_NE(varied, plain);
  options.repeat_last_n = 0;
  EXPECT_EQ(model.NewSession().GenerateFromIds(prompt, options).value().ids, plain);
}

class ApiChat : public ::testing::Test {
 protected:
  ApiChat() {
    ThreadPool pool(1);
    const Status written = make_model::WriteHuggingFaceModel({.vocab = 2000, .context = 4096}, dir_.File("model"), &pool);
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

TEST_F(ApiChat, ATurnThatWasCancelledOnItsWayWasNotSaid) {
  Model model = Load();
  Session session = model.NewSession();
  std::atomic<bool> cancel = false;
  GenerateOptions half_way = kShort;
  half_way.cancel = &cancel;
  half_way.on_progress = [&](uint64_t done, uint64_t total) {
    EXPECT_LT(done, total);
    cancel = true;
  };
  std::string lengthy;
  for (int i = 0; i < 600; ++i) lengthy += "word ";
  const Answer cancelled = session.Chat(lengthy, half_way).value();
  ASSERT_EQ(cancelled.finish_reason, "cancelled");
  ASSERT_GT(session.length(), 0u);  // its first chunk
  const Answer next = session.Chat("two", kShort).value();
  EXPECT_EQ(next.ids, model.NewSession().Chat("two", kShort).value().ids);
  EXPECT_EQ(session.length(), FirstTurn(&model, "two") + 2);
}

TEST_F(ApiChat, ATurnWithoutAnAnswerIsReadAheadOfItsAnswer) {
  Model model = Load();
  Session session = model.NewSession();
  GenerateOptions read_only = kShort;
  read_only.max_tokens = 0;
  ASSERT_TRUE(session.Chat("one", read_only).value().ids.empty());
  const Answer answer = session.Chat("one", kShort).value();
  EXPECT_EQ(answer.prompt_tokens, 1u);
  EXPECT_EQ(answer.ids.size(), 3u);
  EXPECT_EQ(session.length(), FirstTurn(&model, "one") + 2);
}

TEST_F(ApiChat, DoesNotForgetWhatGenerateSaidBehindIt) {
  Model model = Load();
  Session session = model.NewSession();
  ASSERT_TRUE(session.Chat("one", kShort).ok());
  ASSERT_TRUE(session.Generate("Some more text.", kShort).ok());
  const uint64_t length = session.length();
  EXPECT_EQ(session.Chat("two", kShort).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.length(), length);
  session.Truncate(length - 2);
  EXPECT_EQ(session.Chat("two", kShort).status().code(), StatusCode::kInvalidArgument);
  session.Truncate(0);
  EXPECT_TRUE(session.Chat("two", kShort).ok());
}

TEST_F(ApiChat, AnAnswerThatWasCutOffGoesOnAndStaysPartOfTheConversation) {
  Model model = Load();
  GenerateOptions twice = kShort;
  twice.max_tokens = 6;
  Session whole = model.NewSession();
  const Answer at_once = whole.Chat("one", twice).value();
  Session parted = model.NewSession();
  Answer answer = parted.Chat("one", kShort).value();
  parted.Truncate(parted.length() + 1);  // forgets nothing
  const Answer rest = parted.Generate("", kShort).value();
  answer.ids.insert(answer.ids.end(), rest.ids.begin(), rest.ids.end());
  ASSERT_EQ(answer.ids, at_once.ids);
  EXPECT_EQ(answer.text + rest.text, at_once.text);
  EXPECT_EQ(parted.Chat("two", kShort).value().ids, whole.Chat("two", kShort).value().ids);
  EXPECT_EQ(parted.tokens(), whole.tokens());
}

// Wherever it was cut, within a character, too.
TEST_F(ApiChat, AnAnswerIsRememberedAsAWhole) {
  Model model = Load();
  GenerateOptions options = kShort;
  options.max_tokens = 12;
  options.repeat_penalty = 1.5f;
  Session whole = model.NewSession();
  const Answer at_once = whole.Chat("one", options).value();
  ASSERT_EQ(at_once.ids.size(), 12u);
  ASSERT_TRUE(whole.Chat("two", kShort).ok());
  for (uint64_t cut = 1; cut < 12; ++cut) {
    Session parted = model.NewSession();
    options.max_tokens = cut;
    Answer answer = parted.Chat("one", options).value();
    options.max_tokens = 12 - cut;
    const Answer rest = parted.Generate("", options).value();
    answer.ids.insert(answer.ids.end(), rest.ids.begin(), rest.ids.end());
    ASSERT_EQ(answer.ids, at_once.ids) << cut;
    ASSERT_TRUE(parted.Chat("two", kShort).ok());
    EXPECT_EQ(parted.tokens(), whole.tokens()) << cut;
  }
}

// As on the command line and in the server: a policy that asks for the question is told which tokens it has.
TEST_F(ApiChat, PoliciesKnowTheLastTurn) {
  std::string turn;
  for (int i = 0; i < 40; ++i) turn += "word ";
  std::string text;
  for (int i = 0; i < 150; ++i) text += "line " + std::to_string(i) + "\n";
  const auto answer = [&](const char* policy) {
    Model model = Model::Load({.path = dir_.File("model"), .threads = 1, .policy = policy}).value();
    return model.NewSession().Chat(text + "\n" + turn, {.max_tokens = 8, .temperature = 0}).value().ids;
  };
  // The template puts some tokens behind the turn, so no number of last tokens is asked for by chance.
  EXPECT_NE(answer("citrus:keep=60,chunk=64"), answer("citrus:keep=60,chunk=64,last=32"));
}

TEST_F(ApiChat, ATurnThatIsRefusedTakesNothingAway) {
  Model model = Load();
  GenerateOptions wrong = kShort;
  wrong.top_p = 0;
  const std::string too_long(100'000, 'x');
  std::vector<Answer> answers;
  for (const bool refused : {false, true}) {
    Session session = model.NewSession();
    ASSERT_TRUE(session.Chat("one", kShort).ok());
    const uint64_t length = session.length();
    if (refused) {
      EXPECT_EQ(session.Chat("two", wrong).status().code(), StatusCode::kInvalidArgument);
      EXPECT_EQ(session.Chat(too_long, kShort).status().code(), StatusCode::kTooLarge);
    }
    EXPECT_EQ(session.length(), length);
    answers.push_back(session.Generate("", kShort).value());
  }
  EXPECT_EQ(answers[0].ids, answers[1].ids);
}

TEST_F(ApiChat, AForkIsOfTheSameConversation) {
  Model model = Load();
  Session session = model.NewSession();
  ASSERT_TRUE(session.Chat("one", kShort).ok());
  Session fork = session.Fork().value();
  const Answer answer = session.Chat("two", kShort).value();
  EXPECT_EQ(fork.Chat("three", kShort).ok(), true);
  session.Truncate(session.length());  // ends no conversation
  EXPECT_TRUE(session.Chat("three", kShort).ok());
  Session again = model.NewSession();
  ASSERT_TRUE(again.Chat("one", kShort).ok());
  EXPECT_EQ(again.Fork().value().Chat("two", kShort).value().ids, answer.ids);
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
