#include "engine/head_tables.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include <gtest/gtest.h>

#include "engine/fingerprint.h"
#include "policies/registry.h"
#include "tests/model/tiny_model.h"
#include "tests/temp_dir.h"

namespace damask::engine {
namespace {

std::unique_ptr<Engine> LoadEmbedded() {
  auto engine = Engine::Load({.threads = 2});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

TEST(ShareThatHolds, IsTheSmallestThatDoes) {
  const std::vector<float> weights = {1, 4, 0, 3, 2};
  EXPECT_DOUBLE_EQ(ShareThatHolds(weights, 0.4), 0.2);
  EXPECT_DOUBLE_EQ(ShareThatHolds(weights, 0.41), 0.4);
  EXPECT_DOUBLE_EQ(ShareThatHolds(weights, 0.7), 0.4);
  EXPECT_DOUBLE_EQ(ShareThatHolds(weights, 0.95), 0.8);
  EXPECT_DOUBLE_EQ(ShareThatHolds(weights, 1), 1);
  EXPECT_DOUBLE_EQ(ShareThatHolds({}, 0.5), 1);
}

TEST(HeadShares, GrowWithTauUpToEverything) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  std::vector<float> before(engine->shape().layers * engine->shape().kv_heads, 0.0f);
  for (const double tau : {0.3, 0.7, 0.95, 1.0}) {
    const auto result = HeadShares(engine.get(), {.samples = 2, .length = 300, .tau = tau, .least = 0}, nullptr, nullptr);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    ASSERT_EQ(result->table.values.size(), before.size());
    for (size_t i = 0; i < before.size(); ++i) EXPECT_GT(result->table.values[i], before[i]) << tau;
    before = result->table.values;
  }
  for (const float share : before) EXPECT_EQ(share, 1.0f);
}

TEST(HeadShares, KeepTheirLeastAndTheirMean) {
  const auto engine = LoadEmbedded();
  const auto plain = HeadShares(engine.get(), {.samples = 2, .length = 512, .least = 0.3}, nullptr, nullptr);
  ASSERT_TRUE(plain.ok()) << plain.status().ToString();
  EXPECT_GE(*std::min_element(plain->table.values.begin(), plain->table.values.end()), 0.3f);
  const auto scaled = HeadShares(engine.get(), {.samples = 2, .length = 512, .mean = 0.25}, nullptr, nullptr);
  ASSERT_TRUE(scaled.ok());
  const std::vector<float>& shares = scaled->table.values;
  EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0) / static_cast<double>(shares.size()), 0.25, 1e-4);
  EXPECT_EQ(engine->policy().Spec(), "full");
}

TEST(HeadShares, OfTheUsersTextAreOthers) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  SharesOptions options = {.samples = 2, .length = 200};
  const auto built_in = HeadShares(engine.get(), options, nullptr, nullptr);
  std::string text;
  for (int i = 0; i < 400; ++i) text += "the same again ";
  options.texts = {{"mine", text}};
  const auto own = HeadShares(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(built_in.ok() && own.ok()) << own.status().ToString();
  EXPECT_NE(built_in->table.values, own->table.values);
  options.texts = {{"mine", "short"}};
  EXPECT_EQ(HeadShares(engine.get(), options, nullptr, nullptr).status().code(), StatusCode::kInvalidArgument);
}

TEST(HeadTables, AreReadByTheirPolicies) {
  const auto engine = LoadEmbedded();
  const policies::ModelShape shape = engine->shape();
  const test::TempDir dir;
  const auto shares = HeadShares(engine.get(), {.samples = 1, .length = 512}, nullptr, nullptr);
  const auto gates = HeadGates(engine.get(), {.samples = 1, .length = 512}, nullptr, nullptr);
  ASSERT_TRUE(shares.ok() && gates.ok());
  EXPECT_EQ(shares->table.weights_hash, FingerprintOf(engine->model()).weights_hash);
  for (const auto& [name, table] : {std::pair("tca", shares->table), std::pair("duo", gates->table)}) {
    const std::string path = dir.Write(name, policies::HeadTableText(table, shape));
    EXPECT_TRUE(policies::Create(std::string(name) + ":file=" + path, shape).ok());
  }
}

// Masked alone, KV head 2 of layer 4 of the embedded model changes its answers ten times as much as any other; KV head 2 of
// layer 5 comes next.
TEST(HeadGates, FindTheHeadsThatRetrieve) {
  const auto engine = LoadEmbedded();
  const policies::ModelShape shape = engine->shape();
  for (const GateBy by : {GateBy::kMass, GateBy::kEffect}) {
    const auto result = HeadGates(engine.get(), {.by = by, .samples = 1, .length = 1024}, nullptr, nullptr);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    const std::vector<float>& gates = result->table.values;
    EXPECT_EQ(*std::max_element(gates.begin(), gates.end()), 1.0f);
    EXPECT_GE(*std::min_element(gates.begin(), gates.end()), 0.0f);
    std::vector<size_t> order(gates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return gates[a] > gates[b]; });
    std::sort(order.begin(), order.begin() + 2);
    EXPECT_EQ(order[0], 4 * shape.kv_heads + 2);
    EXPECT_EQ(order[1], 5 * shape.kv_heads + 2);
    EXPECT_EQ(engine->policy().Spec(), "full");
  }
}

TEST(HeadGates, OfAWindowThatSeesEverythingAreZero) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  for (const GateBy by : {GateBy::kMass, GateBy::kEffect}) {
    const auto result =
        HeadGates(engine.get(), {.by = by, .samples = 1, .length = 600, .sinks = 40, .recent = 559}, nullptr, nullptr);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    for (const float gate : result->table.values) EXPECT_LT(gate, 1e-6f);
  }
}

TEST(HeadTables, RefuseWhatTheyCannotDo) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  for (const SharesOptions& options :
       {SharesOptions{.samples = 0}, SharesOptions{.length = 1 << 20}, SharesOptions{.length = 64}, SharesOptions{.rows = 0},
        SharesOptions{.tau = 0}, SharesOptions{.tau = 1.5}, SharesOptions{.least = 2}, SharesOptions{.mean = -1}}) {
    EXPECT_EQ(HeadShares(engine.get(), options, nullptr, nullptr).status().code(), StatusCode::kInvalidArgument);
  }
  for (const GatesOptions& options :
       {GatesOptions{.samples = 0}, GatesOptions{.length = 1 << 20}, GatesOptions{.length = 80}, GatesOptions{.recent = 0}}) {
    EXPECT_EQ(HeadGates(engine.get(), options, nullptr, nullptr).status().code(), StatusCode::kInvalidArgument);
  }
  const std::atomic<bool> cancel = true;
  EXPECT_EQ(HeadShares(engine.get(), {.samples = 1, .length = 200}, nullptr, &cancel).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(HeadGates(engine.get(), {.samples = 1, .length = 600}, nullptr, &cancel).status().code(), StatusCode::kCancelled);
}

TEST(HeadTables, MoreSamplesThanMemoryHoldsAreRefusedBeforeAnyIsMade) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  constexpr uint64_t kMany = uint64_t{1} << 40;
  EXPECT_EQ(HeadShares(engine.get(), {.samples = kMany, .length = 200}, nullptr, nullptr).status().code(),
            StatusCode::kOutOfMemory);
  EXPECT_EQ(HeadGates(engine.get(), {.samples = kMany, .length = 600}, nullptr, nullptr).status().code(),
            StatusCode::kOutOfMemory);
}

}  // namespace
}  // namespace damask::engine
