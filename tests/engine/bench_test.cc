// What `damask bench` counts.
#include "engine/bench.h"

#include <gtest/gtest.h>

#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

// Bytes of keys and values that a token reads behind `depth` positions, four tokens each time.
double KvBytesRead(Engine* engine, uint64_t depth, uint64_t repeat) {
  const BenchOptions options = {.prompts = {}, .depths = {depth}, .generate = 4, .repeat = repeat};
  const auto result = RunBench(engine, options, nullptr, nullptr);
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  if (!result.ok()) return 0;
  return result->decode.at(0).bytes_per_token - static_cast<double>(WeightBytesPerToken(engine->model()));
}

TEST(Bench, FullAttentionReadsEveryKeySoFar) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const auto token = static_cast<double>(engine->kv_bytes_per_token());
  EXPECT_NEAR(KvBytesRead(engine.get(), 100, 1), token * 102.5, 1);  // 101 to 104 keys
  EXPECT_NEAR(KvBytesRead(engine.get(), 100, 3), token * 102.5, 1);
}

TEST(Bench, ASparsePolicyReadsTheKeysOfItsPlans) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.policy = "streaming:sinks=16,window=64"});
  const auto token = static_cast<double>(engine->kv_bytes_per_token());
  const double read = KvBytesRead(engine.get(), 300, 1);
  EXPECT_GE(read, token * 80);
  EXPECT_LT(read, token * 120);
}

TEST(Bench, APrefillCountsTheProductsOfItsPlans) {
  const TinyModelFile file(make_model::ModelSpec{});
  constexpr uint64_t kTokens = 512;
  const auto flops = [&file](const char* policy) {
    const auto engine = LoadTiny(file, {.policy = policy});
    const auto result = RunBench(engine.get(), {.prompts = {kTokens}, .generate = 0, .repeat = 2}, nullptr, nullptr);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? result->prefill.at(0).flops : 0;
  };
  const model::ModelConfig config = LoadTiny(file)->model().config();
  EXPECT_DOUBLE_EQ(flops("full"), PrefillFlops(config, kTokens));
  const double sparse = flops("streaming:sinks=16,window=64");
  EXPECT_LT(sparse, PrefillFlops(config, kTokens, 0.6));
  EXPECT_GT(sparse, PrefillFlops(config, kTokens, 0.1));
}

// Pages are gone, or the policy cannot go back: every repetition has to stand behind the same text all the same.
TEST(Bench, EveryRepetitionIsBehindTheWholeText) {
  const TinyModelFile file(make_model::ModelSpec{});
  for (const char* policy : {"streaming:sinks=16,window=64", "h2o:budget=128"}) {
    for (const bool release : {false, true}) {
      const auto engine = LoadTiny(file, {.policy = policy, .kv_release = release});
      const double once = KvBytesRead(engine.get(), 300, 1);
      EXPECT_GT(once, 0) << policy;
      EXPECT_NEAR(KvBytesRead(engine.get(), 300, 3), once, 1) << policy;
    }
  }
}

TEST(Bench, TheMedianOfAnEvenNumberIsBetweenTheMiddleTwo) {
  EXPECT_EQ(Median({7}), 7);
  EXPECT_EQ(Median({9, 1}), 5);
  EXPECT_EQ(Median({3, 9, 1}), 3);
  EXPECT_EQ(Median({4, 100, 1, 2}), 3);
}

TEST(Bench, LengthsThatAreThereTwiceAreRefused) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const auto refused = [&](const BenchOptions& options) {
    return RunBench(engine.get(), options, nullptr, nullptr).status().ToString();
  };
  EXPECT_NE(refused({.prompts = {32, 16, 32}}).find("--prompt: 32 is there twice"), std::string::npos);
  EXPECT_NE(refused({.depths = {8, 8}}).find("--depth: 8 is there twice"), std::string::npos);
}

TEST(Bench, BehindTheLastLayersKeysOnlyOneRowIsCounted) {
  model::ModelConfig config;
  config.width = 24;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 8;
  config.ffn = 40;
  config.vocab = 50;
  config.layers = 1;
  const double kv = 2.0 * 24 * 2 * 16;
  const double q = 2.0 * 24 * 32;
  const double behind = 2.0 * 24 * 32 + 3 * 2.0 * 24 * 40;  // o; gate, up, down
  const double key = 2 * 2.0 * 4 * 8;                       // q k and p v of all heads
  const double output = 2.0 * 24 * 50;
  const double last = PrefillFlops(config, 100);
  EXPECT_DOUBLE_EQ(last, 100 * (q + kv) + behind + 100 * key + output);
  config.layers = 3;
  EXPECT_DOUBLE_EQ(PrefillFlops(config, 100), last + 2 * (100 * (q + kv + behind) + 5050 * key));
  EXPECT_DOUBLE_EQ(PrefillFlops(config, 100, 0.5), PrefillFlops(config, 100) - (100 + 2 * 5050) * key / 2);
  // Of experts those that a token takes, and the router.
  config.experts = 8;
  config.experts_used = 2;
  EXPECT_DOUBLE_EQ(PrefillFlops(config, 100),
                   last + 2 * (100 * (q + kv + behind) + 5050 * key) + 201 * (2.0 * 24 * 8 + 3 * 2.0 * 24 * 40));
  // The first layer has one network, twice as wide as an expert; the others one of 16 beside the experts.
  config.dense_layers = 1;
  config.dense_ffn = 80;
  config.shared_ffn = 16;
  EXPECT_DOUBLE_EQ(PrefillFlops(config, 100), last + 2 * (100 * (q + kv + behind) + 5050 * key) + 100 * 3 * 2.0 * 24 * 40 +
                                                  101 * (2.0 * 24 * 8 + 3 * 2.0 * 24 * (40 + 16)));
}

}  // namespace
}  // namespace damask::engine
