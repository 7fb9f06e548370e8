#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "engine/generate.h"

namespace damask::engine {
namespace {

SamplerOptions Plain() { return {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f, .seed = 1}; }

std::vector<double> Frequencies(const SamplerOptions& options, const std::vector<float>& logits, int draws = 20000) {
  Sampler sampler(options);
  std::vector<double> counts(logits.size());
  for (int i = 0; i < draws; ++i) counts[static_cast<size_t>(sampler.Sample(logits, {}, {}))] += 1.0 / draws;
  return counts;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowerIdOnTies) {
  Sampler sampler({.temperature = 0.0f});
  EXPECT_EQ(sampler.Sample(std::vector<float>{0, 3, 3, 1}, {}, {}), 1);
}

TEST(Sampler, DrawsFollowTheSoftmax) {
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f)};
  const std::vector<double> f = Frequencies(Plain(), logits);
  EXPECT_NEAR(f[0], 1.0 / 8, 0.015);  // four standard errors of 20000 draws are 0.014
  EXPECT_NEAR(f[1], 2.0 / 8, 0.015);
  EXPECT_NEAR(f[2], 5.0 / 8, 0.015);
}

TEST(Sampler, TemperatureSharpens) {
  SamplerOptions options = Plain();
  options.temperature = 0.5f;
  const std::vector<double> f = Frequencies(options, {0.0f, std::log(3.0f)});
  EXPECT_NEAR(f[1], 9.0 / 10, 0.01);
}

TEST(Sampler, TopKKeepsTheBest) {
  SamplerOptions options = Plain();
  options.top_k = 2;
  const std::vector<double> f = Frequencies(options, {1.0f, 3.0f, 2.0f, 0.0f});
  EXPECT_EQ(f[0], 0.0);
  EXPECT_EQ(f[3], 0.0);
  EXPECT_GT(f[2], 0.0);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesP) {
  SamplerOptions options = Plain();
  options.top_p = 0.6f;
  const std::vector<double> f = Frequencies(options, {std::log(0.5f), std::log(0.3f), std::log(0.2f)});
  EXPECT_GT(f[0], 0.0);
  EXPECT_GT(f[1], 0.0);
  EXPECT_EQ(f[2], 0.0);
}

TEST(Sampler, MinPDropsWhatIsFarBelowTheBest) {
  SamplerOptions options = Plain();
  options.min_p = 0.5f;
  const std::vector<double> f = Frequencies(options, {std::log(0.5f), std::log(0.3f), std::log(0.2f)});
  EXPECT_GT(f[1], 0.0);
  EXPECT_EQ(f[2], 0.0);
}

TEST(Sampler, RepeatPenaltyLowersSeenTokensOfEitherSign) {
  Sampler sampler({.temperature = 0.0f, .repeat_penalty = 2.0f});
  const std::vector<TokenId> history = {0};
  EXPECT_EQ(sampler.Sample(std::vector<float>{3.0f, 2.0f}, history, {}), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1.0f, -1.5f}, history, {}), 1);
}

TEST(Sampler, PresencePenaltyIsTakenOnceFromEveryDrawnToken) {
  Sampler sampler({.temperature = 0.0f, .presence_penalty = 1.5f});
  const std::vector<float> logits = {3.0f, 2.0f, 1.0f};
  EXPECT_EQ(sampler.Sample(logits, {}, std::vector<TokenId>{0}), 1);           // 1.5 against 2
  EXPECT_EQ(sampler.Sample(logits, {}, std::vector<TokenId>{0, 0, 0, 1}), 0);  // 1.5 against 0.5 and 1
}

TEST(Sampler, FrequencyPenaltyGrowsWithTheCount) {
  Sampler sampler({.temperature = 0.0f, .frequency_penalty = 0.4f});
  const std::vector<float> logits = {3.0f, 2.0f};
  EXPECT_EQ(sampler.Sample(logits, {}, std::vector<TokenId>{0, 0}), 0);        // 2.2
  EXPECT_EQ(sampler.Sample(logits, {}, std::vector<TokenId>{0, 1, 0, 0}), 0);  // 1.8 against 1.6
  EXPECT_EQ(sampler.Sample(logits, {}, std::vector<TokenId>{0, 0, 0}), 1);     // 1.8 against 2
  EXPECT_EQ(sampler.Sample(logits, {}, {}), 0) << "counts of an earlier draw were kept";
}

TEST(Sampler, ANegativePenaltyFavoursWhatWasDrawn) {
  Sampler sampler({.temperature = 0.0f, .presence_penalty = -2.0f});
  EXPECT_EQ(sampler.Sample(std::vector<float>{3.0f, 2.0f}, {}, std::vector<TokenId>{1}), 1);
}

TEST(Sampler, ThePromptIsNoDrawnToken) {
  Sampler sampler({.temperature = 0.0f, .presence_penalty = 2.0f, .frequency_penalty = 2.0f});
  EXPECT_EQ(sampler.Sample(std::vector<float>{3.0f, 2.0f}, std::vector<TokenId>{0, 0}, {}), 0);
}

TEST(Sampler, TheSameSeedDrawsTheSame) {
  const std::vector<float> logits(100, 0.0f);
  Sampler a(Plain());
  Sampler b(Plain());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(a.Sample(logits, {}, {}), b.Sample(logits, {}, {}));
}

// The chain as its words say it: everything in order, one filter after the other.
TokenId DrawnInOrder(const SamplerOptions& o, const std::vector<float>& logits, double uniform) {
  std::vector<RankedToken> order;
  for (size_t id = 0; id < logits.size(); ++id) order.push_back({logits[id], static_cast<TokenId>(id)});
  std::sort(order.begin(), order.end(), Likelier);
  if (o.top_k > 0) order.resize(std::min<size_t>(o.top_k, order.size()));
  const auto shares = [&](double temperature) {
    std::vector<double> p;
    for (const RankedToken& token : order) p.push_back(std::exp((double{token.logit} - double{order[0].logit}) / temperature));
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& share : p) share /= sum;
    return p;
  };
  const auto reach = [](const std::vector<double>& p, double wanted) {
    size_t count = 0;
    for (double sum = 0; count < p.size() && sum < wanted; ++count) sum += p[count];
    return std::max<size_t>(count, 1);
  };
  if (o.top_p < 1) order.resize(reach(shares(1), double{o.top_p}));
  const float floor = order[0].logit + std::log(o.min_p);
  std::erase_if(order, [&](const RankedToken& token) { return token.logit < floor; });
  return order[reach(shares(double{o.temperature}), uniform) - 1].id;
}

TEST(Sampler, DrawsWhatTheWholeOrderGives) {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal(0, 2);
  for (const size_t vocab : {size_t{1}, size_t{100}, size_t{5003}}) {
    for (const uint64_t top_k : {0, 2, 40, 1000, 4000, 9999}) {
      for (const float top_p : {0.5f, 0.95f, 1.0f}) {
        for (const float min_p : {0.0f, 0.001f, 0.05f, 1.0f}) {
          for (const float temperature : {0.1f, 0.8f, 1.0f, 100.0f}) {
            SamplerOptions options = {.temperature = temperature, .top_k = top_k, .top_p = top_p, .min_p = min_p, .seed = 9};
            Sampler sampler(options);
            std::mt19937_64 uniforms(9);
            for (const bool ties : {false, true}) {
              std::vector<float> logits(vocab);
              for (float& logit : logits) logit = ties ? std::round(normal(random)) : normal(random);
              logits.back() = -std::numeric_limits<float>::infinity();
              if (vocab == 1) logits[0] = 1;
              const double uniform = static_cast<double>(uniforms() >> 11) * 0x1p-53;
              ASSERT_EQ(sampler.Sample(logits, {}, {}), DrawnInOrder(options, logits, uniform))
                  << vocab << ' ' << top_k << ' ' << top_p << ' ' << min_p << ' ' << temperature << ' ' << ties;
            }
          }
        }
      }
    }
  }
}

TEST(Sampler, WhatIsPenalisedOnceIsAsItWasForTheNextDraw) {
  Sampler sampler({.temperature = 0.0f, .repeat_penalty = 2.0f, .repeat_last_n = 3, .presence_penalty = 0.5f});
  const std::vector<float> logits = {3.0f, 2.0f, 1.0f};
  const std::vector<TokenId> history = {1, 0, 0, 0};
  EXPECT_EQ(sampler.Sample(logits, history, {}), 1);                                      // 1.5 against 2
  EXPECT_EQ(sampler.Sample(logits, history, std::vector<TokenId>{1, 1}), 0);              // 1.5 against 1.5
  EXPECT_EQ(sampler.Sample(logits, history, std::vector<TokenId>{0, 0, 0}), 1);           // 1 against 2
  EXPECT_EQ(sampler.Sample(logits, std::vector<TokenId>{}, std::vector<TokenId>{2}), 0);  // 3
}

TEST(Argmax, IsTheFirstOfTheLargestWhereverItIs) {
  EXPECT_EQ(Argmax({}), 0);
  std::mt19937 random(3);
  for (const size_t vocab : {1, 15, 63, 64, 65, 200, 1000}) {
    for (int turn = 0; turn < 50; ++turn) {
      std::vector<float> logits(vocab);
      for (float& logit : logits) logit = -static_cast<float>(random() % 300);
      EXPECT_EQ(Argmax(logits), std::max_element(logits.begin(), logits.end()) - logits.begin()) << vocab;
    }
    EXPECT_EQ(Argmax(std::vector<float>(vocab, -std::numeric_limits<float>::infinity())), 0);
    EXPECT_EQ(Argmax(std::vector<float>(vocab, std::numeric_limits<float>::infinity())), 0);
  }
}

TEST(Likeliest, AreThoseOfTheWholeOrder) {
  std::mt19937 random(4);
  Likeliest likeliest;
  std::vector<RankedToken> found;
  for (const size_t vocab : {1, 63, 65, 640, 3001}) {
    for (const uint32_t values : {1u, 7u, 100000u}) {
      std::vector<RankedToken> order;
      std::vector<float> logits(vocab);
      for (float& logit : logits) logit = static_cast<float>(random() % values) - 5;
      if (values > 1) logits[vocab / 2] = -std::numeric_limits<float>::infinity();
      for (size_t id = 0; id < vocab; ++id) order.push_back({logits[id], static_cast<TokenId>(id)});
      std::sort(order.begin(), order.end(), Likelier);
      for (const size_t count : {0, 1, 2, 9, 47, 63, 640, 5000}) {
        likeliest.Find(logits, count, &found);
        std::sort(found.begin(), found.end(), Likelier);
        ASSERT_EQ(found.size(), std::min(count, vocab));
        for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i].id, order[i].id) << vocab << ' ' << values << ' ' << count;
      }
    }
  }
}

TEST(Sampler, RefusesImpossibleOptions) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const SamplerOptions& options : {SamplerOptions{.temperature = -1}, SamplerOptions{.temperature = nan},
                                        SamplerOptions{.top_p = 0}, SamplerOptions{.top_p = 5}, SamplerOptions{.min_p = 2},
                                        SamplerOptions{.repeat_penalty = 0}, SamplerOptions{.repeat_penalty = nan},
                                        SamplerOptions{.presence_penalty = 2.5f}, SamplerOptions{.presence_penalty = nan},
                                        SamplerOptions{.frequency_penalty = -3}, SamplerOptions{.frequency_penalty = nan}}) {
    EXPECT_EQ(ValidateSamplerOptions(options).code(), StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(ValidateSamplerOptions({}).ok());
}

TEST(Answer, ControlTokensAreTextWhereTheyAreAskedFor) {
  const auto engine = Engine::Load({.threads = 1}).value();
  const TokenId bos = engine->tokenizer().special().bos.value();
  std::vector<float> logits(engine->model().config().vocab, 0.0f);
  logits[static_cast<size_t>(bos)] = 100.0f;
  for (const bool shown : {false, true}) {
    Answer answer(&engine->tokenizer(), {.max_tokens = 1, .sampler = {.temperature = 0}, .show_special = shown});
    EXPECT_EQ(answer.Draw(logits, {}, 10), bos);
    EXPECT_EQ(answer.TakeText(), shown ? "<s>" : "");
  }
}

TEST(StopMatcher, CutsAtTheStopEvenWhenItArrivesInPieces) {
  StopMatcher stops({"END"});
  EXPECT_EQ(stops.Add("abcE"), "abc");
  EXPECT_EQ(stops.Add("N"), "");
  EXPECT_EQ(stops.Add("Dxyz"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.Finish(), "");
}

TEST(StopMatcher, GivesBackWhatWasNoStopAfterAll) {
  StopMatcher stops({"END", "\n\n"});
  EXPECT_EQ(stops.Add("EN"), "");
  EXPECT_EQ(stops.Add("E"), "EN");
  EXPECT_EQ(stops.Add("\n"), "E");
  EXPECT_EQ(stops.Finish(), "\n");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopMatcher, TheEarliestStopWins) {
  StopMatcher stops({"cd", "b"});
  EXPECT_EQ(stops.Add("abcd"), "a");
}

}  // namespace
}  // namespace damask::engine
