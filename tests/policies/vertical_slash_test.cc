#include <gtest/gtest.h>

#include "policies/column_sums.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

// Keys that no query likes; what a test adds stands out.
Text Flat(size_t length, size_t heads = 2) {
  Text text(length, heads, 1);
  for (float& k : text.keys) k *= 0.05f;
  for (float& q : text.queries) q *= 0.2f;
  return text;
}

// From now on all queries like this key.
void PlaceColumn(Text* text, uint64_t position) {
  for (size_t d = 0; d < Text::kDim; ++d) text->key(position)[d] = d == 3 ? 20.0f : 0.0f;
  for (uint64_t p = position + 1; p < text->length(); ++p) {
    for (size_t head = 0; head < text->heads; ++head) text->query(p, head)[3] = 1.0f;
  }
}

TEST(VerticalSlashPolicy, FindsAKeyThatAllQueriesLike) {
  Text text = Flat(1000);
  PlaceColumn(&text, 411);
  PolicyRun run("vertical-slash:verticals=31,slashes=100", &text);
  run.Append(1000);
  for (const uint64_t query : {600, 707, 999}) {
    EXPECT_TRUE(run.Keys(query).contains(411)) << query;
    EXPECT_EQ(run.BlockOf(query).plan.columns.size(), 15u) << query;  // sinks 16..29 and the key: sinks 0..15 are a quarter
  }
}

TEST(VerticalSlashPolicy, FindsADistanceThatAllQueriesLike) {
  constexpr uint64_t kDistance = 333;
  Text text = Flat(1000);
  for (uint64_t p = 0; p < 1000; ++p) {
    for (size_t d = 0; d < Text::kDim; ++d) text.key(p)[d] *= 40.0f;
    if (p < kDistance) continue;
    for (size_t head = 0; head < 2; ++head) {
      for (size_t d = 0; d < Text::kDim; ++d) text.query(p, head)[d] = 2.0f * text.key(p - kDistance)[d];
    }
  }
  PolicyRun run("vertical-slash:verticals=30,slashes=101", &text);
  run.Append(1000);
  for (uint64_t query = 640; query < 1000; ++query) ASSERT_TRUE(run.Keys(query).contains(query - kDistance)) << query;
  EXPECT_LT(run.Keys(999).size(), 350u);
}

TEST(VerticalSlashPolicy, SinksAndShortDistancesAreAlwaysThere) {
  Text text(900, 2, 1);
  PolicyRun run("vertical-slash:verticals=30,slashes=100", &text);
  run.Append(900);
  for (uint64_t query = 0; query < 900; query += 7) {
    const std::set<uint64_t> keys = run.Keys(query);
    for (uint64_t key = 0; key < std::min<uint64_t>(30, query + 1); ++key) ASSERT_TRUE(keys.contains(key));
    for (uint64_t key = query; key + 100 > query && key <= query; --key) ASSERT_TRUE(keys.contains(key));
  }
}

TEST(VerticalSlashPolicy, NoQueryBlockComputesMoreThanItsBudget) {
  Text text(1500, 4, 2);
  PolicyRun run("vertical-slash:budget=200", &text);
  run.Append(1500);
  for (const PlannedBlock& block : run.blocks()) {
    for (size_t g = 0; g < 2; ++g) EXPECT_LE(block.Keys(block.first + block.rows - 1, g).size(), 200u);
  }
  EXPECT_GT(run.Keys(1499).size(), 180u);
}

TEST(VerticalSlashPolicy, DecodingSeesEverythingUnlessItIsToldOtherwise) {
  Text text = Flat(1000);
  PlaceColumn(&text, 500);
  PolicyRun dense("vertical-slash:verticals=40,slashes=120", &text);
  PolicyRun sparse("vertical-slash:verticals=40,slashes=120,decode=sparse", &text);
  for (PolicyRun* run : {&dense, &sparse}) {
    run->Append(999);
    run->Append(1);
  }
  EXPECT_EQ(dense.Keys(999).size(), 1000u);
  EXPECT_LT(sparse.Keys(999).size(), 600u);
  EXPECT_TRUE(sparse.Keys(999).contains(500));
}

TEST(ColumnSums, AddUpDenseAttention) {
  constexpr size_t kLength = 150;
  Text text(kLength, 2, 1);
  const kernels::PageLayout layout = {Text::kDim, kernels::KvType::kF32};
  std::vector<std::vector<std::byte>> storage(3, std::vector<std::byte>(layout.bytes()));
  std::vector<const std::byte*> pages;
  pages.reserve(storage.size());
  for (const auto& page : storage) pages.push_back(page.data());
  for (uint64_t p = 0; p < kLength; ++p) kernels::StoreSlot(layout, storage[p / 64].data(), p % 64, text.key(p), text.key(p));
  for (const uint32_t window : {0u, 40u}) {
    const std::vector<uint32_t> rows = {3, 10, 21};
    std::vector<ColumnSums> of_heads;
    ColumnScratch scratch;
    SumColumns(BestTarget(), {text.query(128, 0), 2 * Text::kDim, 22, 128}, rows, 2, {pages.data(), &layout}, window, &scratch,
               &of_heads);
    const ColumnSums& sums = of_heads[1];
    std::vector<double> verticals(kLength);
    std::vector<double> slashes(kLength);
    for (const uint32_t row : rows) {
      const uint64_t query = 128 + row;
      std::vector<double> p(query + 1);
      double total = 0;
      for (uint64_t key = window == 0 ? 0 : query + 1 - window; key <= query; ++key) {
        double score = 0;
        for (size_t d = 0; d < Text::kDim; ++d) score += static_cast<double>(text.query(query, 1)[d]) * text.key(key)[d];
        total += p[key] = std::exp(score / 4);
      }
      for (uint64_t key = 0; key <= query; ++key) {
        verticals[key] += p[key] / total;
        slashes[query - key] += p[key] / total;
      }
    }
    for (uint64_t i = 0; i < kLength; ++i) {
      const double vertical = i < sums.first ? 0.0 : sums.verticals[i - sums.first];
      const double slash = i < sums.slashes.size() ? sums.slashes[i] : 0.0f;
      ASSERT_NEAR(vertical, verticals[i], 1e-5) << "window " << window << " key " << i;
      ASSERT_NEAR(slash, slashes[i], 1e-5) << "window " << window << " distance " << i;
    }
  }
}

}  // namespace
}  // namespace damask::policies
