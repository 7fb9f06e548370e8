#include "report/run_json.h"

#include <gtest/gtest.h>

namespace damask::report {
namespace {

std::unique_ptr<engine::Engine> LoadEmbedded() {
  auto engine = engine::Engine::Load({.threads = 1});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

// Two heads, the second with strong keys in `strong_rows` of its rows, of which one was lost.
model::AuditReport Audited(uint64_t strong_rows) {
  model::AuditReport audit;
  audit.heads_per_layer = 2;
  audit.heads = {{.rows = 3, .recall_sum = 2.7}, {.rows = 4, .recall_sum = 3.2, .strong_rows = strong_rows}};
  if (strong_rows > 0) audit.heads[1].strong_hits = strong_rows - 1;
  return audit;
}

TEST(AttentionJson, OfRowsWithoutAStrongKeyNothingIsSaidAboutThem) {
  const auto engine = LoadEmbedded();
  const Json none = AttentionJson(*engine, Audited(0), 0.5, std::nullopt);
  EXPECT_EQ(none["rows_audited"], 7);
  EXPECT_EQ(none["strong_rows"], 0);
  EXPECT_TRUE(none["strong_key_hit"].is_null());
  EXPECT_EQ(AuditText(Audited(0)).find("strong keys"), std::string::npos) << AuditText(Audited(0));

  const Json some = AttentionJson(*engine, Audited(4), 0.5, std::nullopt);
  EXPECT_EQ(some["strong_rows"], 4);
  EXPECT_EQ(some["strong_key_hit"], 0.75);
  EXPECT_TRUE(some["heads"][0]["strong_key_hit"].is_null());
  EXPECT_EQ(some["heads"][1]["strong_key_hit"], 0.75);
  EXPECT_NE(AuditText(Audited(4)).find(", 75.0 % of the strong keys; output error"), std::string::npos)
      << AuditText(Audited(4));
}

TEST(GenerationJson, TheDensityOfNoTokenIsNull) {
  const auto engine = LoadEmbedded();
  engine::GenerateResult result;
  result.prefill_stats = {.planned_pairs = 3, .causal_pairs = 4};
  const Json read = GenerationJson(*engine, result, 0)["attention"];
  EXPECT_EQ(read["density_prefill"], 0.75);
  EXPECT_TRUE(read["density_decode"].is_null());
  result.decode_stats = {.planned_pairs = 1, .causal_pairs = 4};
  EXPECT_EQ(GenerationJson(*engine, result, 0)["attention"]["density_decode"], 0.25);
}

TEST(PerplexityJson, NamesTheCacheOfItsLargestWindow) {
  const auto engine = LoadEmbedded();
  const std::vector<engine::TokenId> ids(100, 5);
  const auto result = engine::Perplexity(engine.get(), ids, 80, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  const Json object = PerplexityJson(*engine, *result);
  EXPECT_EQ(object["memory"]["kv_bytes"], 128 * engine->kv_bytes_per_token());  // two pages of 64 positions
  EXPECT_EQ(object["attention"]["density_prefill"], 1.0);
  EXPECT_TRUE(object["attention"]["density_decode"].is_null());
}

}  // namespace
}  // namespace damask::report
