#include <gtest/gtest.h>

#include "policies/head_table.h"
#include "tests/policies/policy_run.h"
#include "tests/temp_dir.h"

namespace damask::policies {
namespace {

// What a streaming head sees of `query` with the sinks and the window, both multiples of 16.
uint64_t StreamingKeys(uint64_t query, uint64_t sinks, uint64_t recent) {
  uint64_t keys = 0;
  for (uint64_t key = 0; key <= query; ++key) keys += key < sinks || query - key < recent ? 1 : 0;
  return keys;
}

TEST(DuoPolicy, HeadsWithTheHighestGatesSeeEverythingTheOthersSinksAndAWindow) {
  Text text(700, 4, 2);
  PolicyRun run("duo:heads=0.1/0.9/0.8/0.2,sinks=16,recent=64", &text, 2);
  for (const size_t count : {600, 1, 99}) run.Append(count);
  run.ExpectSoundPlans();
  for (uint64_t query = 0; query < 700; query += 13) {
    for (size_t head = 0; head < 4; ++head) {  // two for each KV head
      EXPECT_EQ(run.Keys(query, head, 0).size(), head >= 2 ? query + 1 : StreamingKeys(query, 16, 64)) << head;
      EXPECT_EQ(run.Keys(query, head, 1).size(), head < 2 ? query + 1 : StreamingKeys(query, 16, 64)) << head;
    }
  }
}

TEST(DuoPolicy, FullIsANumberOfHeadsOrAShareAndOfEqualGatesTheFirstHeadsWin) {
  Text text(500, 2, 2);
  const auto dense_heads = [&](const std::string& full) {
    PolicyRun run("duo:heads=1/1,sinks=0,recent=32,full=" + full, &text, 2);
    run.Append(500);
    std::string dense;
    for (size_t layer = 0; layer < 2; ++layer) {
      for (size_t head = 0; head < 2; ++head) dense += run.Keys(499, head, layer).size() == 500 ? '1' : '0';
    }
    return dense;
  };
  EXPECT_EQ(dense_heads("0"), "0000");
  EXPECT_EQ(dense_heads("1"), "1000");
  EXPECT_EQ(dense_heads("0.5"), "1100");
  EXPECT_EQ(dense_heads("3"), "1110");
  EXPECT_EQ(dense_heads("9"), "1111");
}

TEST(DuoPolicy, ReadsATableAndSaysWhatWasInIt) {
  const test::TempDir dir;
  const std::string path = dir.Write("gates.tsv", "# authors' form\n0.25\t1.0\n\n0.5  7e-1\r\n");
  Text text(400, 2, 2);
  PolicyRun run("duo:sinks=0,recent=16,file=" + path, &text, 2);
  run.Append(400);
  EXPECT_EQ(run.Keys(399, 0, 0).size(), 16u);
  EXPECT_EQ(run.Keys(399, 1, 0).size(), 400u);
  EXPECT_EQ(run.Keys(399, 1, 1).size(), 400u);
  EXPECT_EQ(run.policy().Spec(), "duo:file=" + path + ",heads=none,full=0.5,sinks=0,recent=16");
  const auto other = Create("duo:heads=1/0,sinks=0,recent=16", run.shape());
  EXPECT_NE((*other)->ContentHash(), run.policy().ContentHash());
}

TEST(DuoPolicy, WrongTablesAreRefusedInOneSentence) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const auto message = [&](const std::string& spec) { return Create("duo" + spec, shape).status().ToString(); };
  EXPECT_EQ(message(""), "policy duo needs a table of gates: file=FILE (a line for each layer) or heads=1/0/...");
  EXPECT_EQ(message(":heads=1/0,file=x"), "policy duo: heads and file cannot be given together");
  EXPECT_EQ(message(":heads=1/0/1"), "policy duo: heads lists 3 numbers; a layer has 2 KV heads, the model 4");
  EXPECT_EQ(message(":heads=1/nan"), "policy duo: 'nan' is not a number");
  const auto line = [&](const std::string& text) { return ParseHeadTable(text, shape).status().ToString(); };
  EXPECT_EQ(line("1 0\n1"), "line 2: found 1 numbers; a layer has 2 KV heads");
  EXPECT_EQ(line("1 0\n1 x"), "line 2: 'x' is not a number");
  EXPECT_EQ(line("1 0\n1 1\n0 0"), "line 3: found another layer; the model has 2");
  EXPECT_EQ(line("1 0\n"), "found 1 layers; the model has 2");
  EXPECT_EQ(line("weights xyz\n"), "line 1: 'xyz' is not a hash of weights (16 hexadecimal digits)");
}

TEST(HeadTable, ATextThatWasWrittenIsReadTheSame) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const HeadTable table = {.values = {0.25f, 1.0f, 0.061f, 0.5f}, .weights_hash = 0x1234abcd};
  const Result<HeadTable> read = ParseHeadTable(HeadTableText(table, shape), shape);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->values, table.values);
  EXPECT_EQ(read->weights_hash, table.weights_hash);
}

}  // namespace
}  // namespace damask::policies
