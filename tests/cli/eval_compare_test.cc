// damask eval compare.
#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

std::vector<std::string> Compare(std::vector<std::string> more) {
  std::vector<std::string> args = {
      "eval",    "compare",   "--policies", "full;streaming:sinks=4,window=64", "--tasks", "lines,perplexity", "--context",
      "400,600", "--samples", "2"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(EvalCompare, OneRowForEachTaskContextAndPolicy) {
  const Json object = DamaskJson(Compare({}));
  ASSERT_EQ(object["rows"].size(), 8U);
  for (const Json& row : object["rows"]) {
    for (const char* key : {"policy", "task", "context", "accuracy", "ci_low", "ci_high", "density", "recall_mean", "prefill_s",
                            "decode_tokens_per_s", "kv_bytes", "difference", "difference_low", "difference_high"}) {
      EXPECT_TRUE(row.contains(key)) << key;
    }
    EXPECT_EQ(row["accuracy"].is_null(), row["task"] == "perplexity");
    EXPECT_EQ(row["perplexity"].is_null(), row["task"] != "perplexity");
    if (row["policy"] == "full") {
      EXPECT_TRUE(row["difference"].is_null());
      EXPECT_TRUE(row["recall_mean"].is_null());
      EXPECT_EQ(row["density"], 1.0);
    } else {
      EXPECT_LT(row["density"], 1.0);
      EXPECT_LT(row["recall_mean"], 1.0);
    }
  }
  // Policies on the same samples stand together.
  EXPECT_EQ(object["rows"][0]["context"], object["rows"][1]["context"]);
  EXPECT_NE(object["rows"][0]["policy"], object["rows"][1]["policy"]);
}

TEST(EvalCompare, AWindowPredictsProseWorseThanFullAttention) {
  const Json rows = DamaskJson(Compare({}))["rows"];
  const Json& windowed = rows[5];
  ASSERT_EQ(windowed["task"], "perplexity");
  ASSERT_NE(windowed["policy"], "full");
  EXPECT_GT(windowed["difference"], 0.0);
}

TEST(EvalCompare, DensitySetsThePoliciesThatCan) {
  const ProgramResult result = Damask({"eval", "compare", "--policies", "full;streaming", "--tasks", "kv", "--context", "1024",
                                       "--samples", "1", "--density", "0.2,0.4", "--json", "--quiet"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  ASSERT_EQ(object["rows"].size(), 3U);
  EXPECT_TRUE(object["rows"][0]["density_target"].is_null());
  EXPECT_EQ(object["rows"][1]["density_target"], 0.2);
  EXPECT_NEAR(object["rows"][1]["density"].get<double>(), 0.2, 0.03);
  EXPECT_NEAR(object["rows"][2]["density"].get<double>(), 0.4, 0.03);
  ASSERT_EQ(object["notes"].size(), 1U);
  EXPECT_NE(result.err.find("full has no option that sets its density"), std::string::npos) << result.err;
}

TEST(EvalCompare, ADensityBelowWhatAPolicyCanIsLeftOutAndSaid) {
  const Json object = DamaskJson({"eval", "compare", "--policies", "streaming", "--tasks", "kv", "--context", "400",
                                  "--samples", "1", "--density", "0.001"});
  EXPECT_EQ(object["rows"].size(), 0U);
  EXPECT_NE(object["notes"][0].get<std::string>().find("left out"), std::string::npos);
}

TEST(EvalCompare, ThePageStandsAlone) {
  const TempDir dir;
  DamaskJson(Compare({"--html", dir.File("page.html")}));
  const std::string page = ReadBytes(dir.File("page.html"));
  EXPECT_EQ(page.rfind("<!doctype html>", 0), 0U);
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("streaming:sinks=4,window=64"), std::string::npos);
  for (const char* part : {"http://", "https://", "src=", "href=", "nan", "inf\""}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
}

TEST(EvalCompare, ResumeTakesFinishedCellsFromTheFile) {
  const TempDir dir;
  const std::string cells = dir.File("cells.jsonl");
  const Json first = DamaskJson(Compare({"--resume", cells}));
  const std::string stored = ReadBytes(cells);
  EXPECT_EQ(std::count(stored.begin(), stored.end(), '\n'), 8);
  const Json again = DamaskJson(Compare({"--resume", cells}));
  // Times as well: nothing ran.
  EXPECT_EQ(again["rows"], first["rows"]);
  EXPECT_EQ(ReadBytes(cells), stored);
}

TEST(EvalCompare, AResumeFileOfOtherSamplesIsNotTaken) {
  const TempDir dir;
  const std::string cells = dir.File("cells.jsonl");
  DamaskJson(Compare({"--resume", cells}));
  DamaskJson(Compare({"--resume", cells, "--seed", "2"}));
  const std::string stored = ReadBytes(cells);
  EXPECT_EQ(std::count(stored.begin(), stored.end(), '\n'), 16);
}

TEST(EvalCompare, ABrokenResumeFileIsNamedWithItsLine) {
  const TempDir dir;
  const std::string cells = dir.Write("cells.jsonl", "{\"run\": \"other\"}\n{\"run\"\n");
  std::vector<std::string> args = Compare({"--resume", cells, "--quiet"});
  ExpectRefused(Damask(args), "line 2");
}

TEST(EvalCompare, ATextTooShortForAWindowIsRefused) {
  const TempDir dir;
  ExpectRefused(Damask(Compare({"-f", dir.Write("short.txt", "Too short."), "--quiet"})), "fewer than a window");
}

}  // namespace
}  // namespace damask::test
