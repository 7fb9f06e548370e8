// Guesses: what is guessed, and that answers do not depend on it.
#include "engine/guesser.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/sampler.h"
#include "policies/registry.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

std::vector<TokenId> Guess(Guesser* guesser, const std::vector<TokenId>& text, TokenId next) {
  const std::span<const TokenId> guesses = guesser->Guess(text, next, limits::kMaxContext);
  return {guesses.begin(), guesses.end()};
}

TEST(Guesser, GuessesWhatFollowedTheLatestTokensLastTime) {
  Guesser guesser(7);
  std::vector<TokenId> text = {1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3};
  EXPECT_EQ(Guess(&guesser, text, 4), (std::vector<TokenId>{5, 6, 7})) << "as many as agree";
  text.insert(text.end(), {4, 5, 6});
  EXPECT_EQ(Guess(&guesser, text, 7), (std::vector<TokenId>{8, 9, 2, 3, 4, 5}));
  text.push_back(7);
  EXPECT_EQ(Guess(&guesser, text, 1), std::vector<TokenId>());
  text.insert(text.end(), {1, 9, 2, 3, 4});
  EXPECT_EQ(Guess(&guesser, text, 5), (std::vector<TokenId>{6, 7, 1, 9, 2})) << "the latest time counts";
}

TEST(Guesser, NeedsThreeTokensThatAgree) {
  Guesser guesser(3);
  EXPECT_EQ(Guess(&guesser, {}, 1), std::vector<TokenId>());
  EXPECT_EQ(Guess(&guesser, {1}, 2), std::vector<TokenId>());
  EXPECT_EQ(Guess(&guesser, {1, 2, 9, 1}, 2), std::vector<TokenId>());
  Guesser other(3);
  EXPECT_EQ(Guess(&other, {7, 7, 7}, 7), std::vector<TokenId>{7}) << "a text that is one token over and over";
  Guesser none(0);
  EXPECT_EQ(Guess(&none, {1, 2, 3, 4, 1, 2}, 3), std::vector<TokenId>());
}

TEST(Guesser, WantsMoreToAgreeWhereGuessesWereWrong) {
  const std::vector<TokenId> text = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 2, 3};  // and 4: three agree
  Guesser guesser(7);
  std::vector<TokenId> longer = text;
  EXPECT_EQ(Guess(&guesser, longer, 4).size(), 3u);
  guesser.Judge(1);  // of three: five must agree now
  longer.push_back(4);
  EXPECT_EQ(Guess(&guesser, longer, 5).size(), 0u) << "four agree";
  longer.push_back(5);
  EXPECT_EQ(Guess(&guesser, longer, 6).size(), 5u) << "five agree";
  guesser.Judge(5);
  guesser.Judge(5);
  longer.insert(longer.end(), {6, 40, 2, 3});
  EXPECT_EQ(Guess(&guesser, longer, 4).size(), 3u) << "trusted again";
}

// Greedy answers of `count` tokens and the logits behind each.
struct Answer {
  std::vector<TokenId> ids;
  std::vector<std::vector<float>> logits;
};

Answer OneByOne(Engine* engine, std::span<const TokenId> prompt, size_t count) {
  Session session(engine);
  EXPECT_TRUE(session.Append(prompt, nullptr, nullptr).ok());
  Answer answer;
  while (answer.ids.size() < count) {
    answer.ids.push_back(Argmax(session.logits()));
    EXPECT_TRUE(session.Decode(answer.ids.back(), nullptr).ok());
    answer.logits.emplace_back(session.logits().begin(), session.logits().end());
  }
  return answer;
}

// Gives a session the same answer by guesses of which each batch has one more, wrong ones at every place.
void ExpectTheSameWithGuesses(Engine* engine, std::span<const TokenId> prompt, const Answer& expected) {
  Session session(engine);
  ASSERT_TRUE(session.Append(prompt, nullptr, nullptr).ok());
  const auto next = [](std::span<const float> logits) -> std::optional<TokenId> { return Argmax(logits); };
  size_t done = 0;  // tokens of the answer in the session
  for (size_t step = 0; done + model::kDecodeRows < expected.ids.size(); ++step) {
    const auto at = expected.ids.begin() + static_cast<std::ptrdiff_t>(done);
    std::vector<TokenId> guesses(at + 1, at + 1 + static_cast<std::ptrdiff_t>(step % model::kDecodeRows));
    const size_t right = step % 3 == 0 ? guesses.size() : step % (guesses.size() + 1);
    if (right < guesses.size()) guesses[right] = (guesses[right] + 1) % 500;
    const auto drawn = session.DecodeGuesses(*at, guesses, next, nullptr);
    ASSERT_TRUE(drawn.ok()) << drawn.status().ToString();
    done += 1 + right;
    ASSERT_EQ(session.length(), prompt.size() + done);
    ASSERT_EQ(session.tokens().size(), prompt.size() + done);
    if (right < guesses.size()) {
      EXPECT_EQ(*drawn, expected.ids[done]);
    } else {
      EXPECT_EQ(*drawn, std::nullopt);
    }
    ASSERT_TRUE(std::equal(session.logits().begin(), session.logits().end(), expected.logits[done - 1].begin()))
        << "token " << done << " of step " << step;
  }
}

class GuessedPolicies : public testing::TestWithParam<const char*> {};

// Past the end of a page, and with pages that leave the cache.
TEST_P(GuessedPolicies, GiveTheSameLogitsToTheBit) {
  const std::vector<TokenId> prompt = SomeIds(340, 512);  // a block of 128 keys ends behind it
  for (const make_model::Arch arch : {make_model::Arch::kLlama, make_model::Arch::kGptOss}) {
    const TinyModelFile file(make_model::ModelSpec{.arch = arch, .type = "Q8_0"});
    for (const kernels::KvType kv : {kernels::KvType::kBf16, kernels::KvType::kQ8}) {
      const auto engine = LoadTiny(file, {.policy = GetParam(), .kv_release = true, .kv = kv});
      ASSERT_TRUE(engine->MayGuess());
      ExpectTheSameWithGuesses(engine.get(), prompt, OneByOne(engine.get(), prompt, 80));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Specs, GuessedPolicies,
                         testing::Values("full", "streaming:sinks=4,window=100", "a-shape:sinks=64,window=128,decode=sparse",
                                         "spans:span=100,sinks=10", "vertical-slash:budget=200,decode=sparse",
                                         "quest:budget=160,skip=0,prefill=sparse", "infllm2:budget=160,dense=0,block=16",
                                         "xattention:budget=160,threshold=1.0,decode=sparse,block=16",
                                         "psa:budget=160,similar=none,decode=sparse", "psa:budget=160,decode=sparse",
                                         "flexprefill:budget=160,gamma=1,decode=sparse", "duo:heads=1/0,full=1,recent=64",
                                         "masformer:span=100,full=1"));

TEST(Guesses, OfMasksThatChooseKeysGiveTheSameLogitsToTheBit) {
  const auto engine =
      Engine::Load({.threads = 2, .policy = "dam:mask=" + std::string(DAMASK_SOURCE_DIR) + "/models/reference.mask"});
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  ASSERT_TRUE((*engine)->MayGuess());
  const std::vector<TokenId> prompt = SomeIds(2100, 2000);
  ExpectTheSameWithGuesses(engine->get(), prompt, OneByOne(engine->get(), prompt, 80));
}

// Every policy is in one of the two lists.
TEST(Guesses, AreKnownToEveryPolicy) {
  const TinyModelFile file(make_model::ModelSpec{});
  const std::vector<std::string> refusing = {"h2o", "hip", "snapkv", "pyramidkv", "tca", "citrus"};
  for (const policies::PolicyInfo& info : policies::AllPolicies()) {
    if (info.name == "dam") continue;  // wants a file, and has a test of its own
    const auto engine = LoadTiny(file, {.policy = info.name == "duo" ? "duo:heads=1/0,full=1" : std::string(info.name)});
    const bool refuses = std::find(refusing.begin(), refusing.end(), info.name) != refusing.end();
    EXPECT_EQ(engine->MayGuess(), !refuses) << info.name;
  }
}

TEST(Guesses, ThatAreCancelledLeaveNothing) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session session(engine.get());
  ASSERT_TRUE(session.Append(SomeIds(20, 512), nullptr, nullptr).ok());
  const std::vector<float> logits(session.logits().begin(), session.logits().end());
  const std::vector<TokenId> guesses = {5, 6};
  const std::atomic<bool> cancel = true;
  EXPECT_EQ(session.DecodeGuesses(4, guesses, {}, &cancel).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(session.length(), 20u);
  EXPECT_EQ(session.tokens().size(), 20u);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), session.logits().begin()));
}

TEST(Guesses, AreRefusedWhereTheyWouldLeaveATrace) {
  const TinyModelFile file(make_model::ModelSpec{});
  for (const char* policy : {"h2o", "snapkv", "pyramidkv", "tca:keep=200", "citrus:keep=60,last=20", "hip:budget=160,skip=0"}) {
    const auto engine = LoadTiny(file, {.policy = policy});
    EXPECT_FALSE(engine->MayGuess()) << policy;
    Session session(engine.get());
    ASSERT_TRUE(session.Append(SomeIds(20, 512), nullptr, nullptr).ok());
    const TokenId guess = 5;
    const auto refused = session.DecodeGuesses(4, {&guess, 1}, {}, nullptr);
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument) << policy;
    EXPECT_EQ(session.length(), 20u);
  }
  const auto widening = LoadTiny(file, {.audit = {.prefill_every = 1, .decode_every = 1, .floor = 0.5}});
  EXPECT_FALSE(widening->MayGuess());
}

// A random model that is led to repeat itself, so that guesses are right; drawn tokens, a stop string and ends of all kinds.
TEST(Guesses, ChangeNoAnswer) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto engine = LoadTiny(file, {.context = 400});
  const std::vector<TokenId> prompt = SomeIds(60, 512);
  uint64_t right = 0;
  for (const float temperature : {0.0f, 0.7f}) {
    for (const uint64_t most : {uint64_t{1}, uint64_t{2}, uint64_t{50}, uint64_t{1000}}) {
      GenerateOptions options;
      options.max_tokens = most;
      options.sampler = {.temperature = temperature, .repeat_penalty = 0.4f, .seed = 5};
      const auto answer = [&](size_t guesses, const std::vector<std::string>& stop) {
        options.guesses = guesses;
        options.stop = stop;
        Session session(engine.get());
        const auto result = Generate(engine.get(), &session, prompt, options, {});
        EXPECT_TRUE(result.ok()) << result.status().ToString();
        EXPECT_EQ(session.tokens().size(), session.length());
        right += result->guessed_right;
        return std::tuple(result->text, result->ids, result->finish, session.length());
      };
      const auto expected = answer(0, {});
      EXPECT_EQ(answer(1, {}), expected);
      EXPECT_EQ(answer(7, {}), expected);
      EXPECT_EQ(answer(100, {}), expected);
      const std::string& text = std::get<0>(expected);
      if (text.size() < 40) continue;
      const std::vector<std::string> stop = {text.substr(30, 4)};
      EXPECT_EQ(answer(7, stop), answer(0, stop));
    }
  }
  EXPECT_GT(right, 100u);
}

}  // namespace
}  // namespace damask::engine
