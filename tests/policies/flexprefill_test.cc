#include <gtest/gtest.h>

#include "policies/distributions.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

std::set<uint64_t> Blocks(const PolicyRun& run, uint64_t query, size_t head = 0) {
  std::set<uint64_t> blocks;
  for (const uint64_t key : run.Keys(query, head)) blocks.insert(key / 64);
  return blocks;
}

// Keys that no query likes; what a test adds stands out.
Text Flat(size_t length, size_t heads) {
  Text text(length, heads, 1);
  for (float& k : text.keys) k *= 0.02f;
  for (float& q : text.queries) q *= 0.2f;
  return text;
}

// From now on queries of `head` like these keys: a single one is a column, many are a block that the means tell of.
void PlaceKeys(Text* text, uint64_t begin, uint64_t count, float strength, size_t head) {
  for (uint64_t p = begin; p < begin + count; ++p) text->key(p)[head] = strength;
  for (uint64_t p = begin + count; p < text->length(); ++p) text->query(p, head)[head] = 1.0f;
}

TEST(FlexprefillPolicy, AHeadWhoseMeansMisleadFindsItsColumn) {
  Text text = Flat(1500, 1);
  PlaceKeys(&text, 414, 1, 60.0f, 0);
  PolicyRun run("flexprefill:gamma=0.5,least=0", &text);
  run.Append(1500);
  for (const uint64_t query : {900, 1400, 1499}) {
    EXPECT_TRUE(run.Keys(query).contains(414)) << query;
    EXPECT_LE(Blocks(run, query).size(), 5u) << query;
  }
}

TEST(FlexprefillPolicy, AHeadFindsADistance) {
  constexpr uint64_t kDistance = 448;
  Text text(1500, 1, 1);
  for (uint64_t p = kDistance; p < 1500; ++p) {
    for (size_t d = 0; d < Text::kDim; ++d) text.query(p)[d] = 6.0f * text.key(p - kDistance)[d];
  }
  PolicyRun run("flexprefill:gamma=0.5,least=64,tau=0", &text);
  run.Append(1500);
  for (const uint64_t query : {960, 1023, 1407}) EXPECT_TRUE(Blocks(run, query).contains((query - kDistance) / 64)) << query;
}

TEST(FlexprefillPolicy, AHeadWhoseMeansTellEnoughChoosesByThem) {
  Text text = Flat(1500, 1);
  PlaceKeys(&text, 640, 64, 40.0f, 0);
  PolicyRun run("flexprefill:gamma=0.9,least=0", &text);
  run.Append(1500);
  for (const uint64_t query : {900, 1400}) {
    EXPECT_EQ(Blocks(run, query), (std::set<uint64_t>{0, 10, query / 64})) << query;
  }
}

TEST(FlexprefillPolicy, HeadsChooseForThemselves) {
  Text text = Flat(1500, 2);
  PlaceKeys(&text, 640, 64, 40.0f, 0);
  PlaceKeys(&text, 320, 64, 40.0f, 1);
  PolicyRun run("flexprefill:least=0", &text);
  run.Append(1500);
  EXPECT_EQ(Blocks(run, 1400, 0), (std::set<uint64_t>{0, 10, 21}));
  EXPECT_EQ(Blocks(run, 1400, 1), (std::set<uint64_t>{0, 5, 21}));
}

TEST(FlexprefillPolicy, NoQueryBlockComputesMoreThanItsBudget) {
  Text text(1500, 2, 1);
  PolicyRun run("flexprefill:gamma=1,budget=320", &text);
  run.Append(1500);
  for (const PlannedBlock& block : run.blocks()) {
    for (size_t g = 0; g < 2; ++g) EXPECT_LE(block.Keys(block.first + block.rows - 1, g).size(), 320u);
  }
  EXPECT_EQ(Blocks(run, 1499).size(), 5u);
}

TEST(FlexprefillPolicy, ShortTextsAndDecodedTokensAreDense) {
  Text text = Flat(1100, 1);
  PolicyRun run("flexprefill:gamma=0.1,least=512", &text);
  run.Append(1099);
  run.Append(1);
  EXPECT_EQ(run.Keys(511).size(), 512u);
  EXPECT_LT(run.Keys(1087).size(), 1088u);
  EXPECT_EQ(run.Keys(1099).size(), 1100u);
}

TEST(CountWithin, CountsTheLargestValuesThatFit) {
  std::mt19937 random(3);
  for (size_t n = 0; n < 40; ++n) {
    std::vector<float> values(n);
    for (float& x : values) x = static_cast<float>(random() % 5) / 4;
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    for (double wanted = 0; wanted < 30; wanted += 0.375) {
      size_t expected = 0;
      double sum = 0;
      while (expected < n && sum + static_cast<double>(sorted[expected]) <= wanted)
        sum += static_cast<double>(sorted[expected++]);
      std::vector<float> copy = values;
      ASSERT_EQ(CountWithin(copy, wanted), expected) << n << " values, " << wanted;
    }
  }
}

TEST(JensenShannonDistance, IsZeroForEqualsAndLargestForStrangers) {
  const std::vector<float> p = {0.5f, 0.5f, 0.0f, 0.0f};
  const std::vector<float> q = {0.0f, 0.0f, 0.25f, 0.75f};
  EXPECT_EQ(JensenShannonDistance(p, p), 0.0);
  EXPECT_NEAR(JensenShannonDistance(p, q), std::sqrt(std::log(2.0)), 1e-12);
  const std::vector<float> r = {1.0f, 0.0f, 0.0f, 0.0f};
  // 0.5 (0.5 ln(0.5 / 0.75) + 0.5 ln(0.5 / 0.25) + ln(1 / 0.75))
  EXPECT_NEAR(JensenShannonDistance(p, r), std::sqrt(0.5 * (0.5 * std::log(2.0 / 3) + 0.5 * std::log(2.0) + std::log(4.0 / 3))),
              1e-12);
  EXPECT_EQ(JensenShannonDistance(p, r), JensenShannonDistance(r, p));
}

}  // namespace
}  // namespace damask::policies
