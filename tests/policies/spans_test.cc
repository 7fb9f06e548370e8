#include "policies/spans.h"

#include <gtest/gtest.h>

#include "policies/options.h"
#include "tests/policies/policy_run.h"
#include "tests/temp_dir.h"

namespace damask::policies {
namespace {

TEST(SpansPolicy, EveryHeadHasItsOwnWindow) {
  Text text(500, 4, 2);
  PolicyRun run("spans:heads=32/0.5/300/32+0.25,sinks=16", &text);
  run.Append(400);
  for (const size_t count : {1, 1, 98}) run.Append(count);
  for (uint64_t query = 0; query < 500; ++query) {
    const uint64_t length = (query / 64 + 1) * 64;
    const uint64_t spans[] = {32, length / 2, 300, 32 + length / 4};
    for (size_t head = 0; head < 4; ++head) {
      const std::set<uint64_t> keys = run.Keys(query, head);
      for (uint64_t key = 0; key <= query; ++key) {
        ASSERT_EQ(keys.contains(key), key < 16 || query - key < spans[head])
            << "head " << head << " query " << query << " key " << key;
      }
    }
  }
}

// 0.29 x 100 is 28.999... in binary.
TEST(Shares, AreThoseOfTheirDecimals) {
  for (const uint64_t percent : {7, 14, 28, 29, 55, 57, 58}) {
    const double share = static_cast<double>(percent) / 100;
    EXPECT_EQ(Amount{.share = share}.Of(100), percent);
    EXPECT_EQ(Span{.share = share}.Of(1600), 16 * percent);
  }
  EXPECT_EQ(ShareOf(0.1, 16384), 1638u);  // 1638.4
  EXPECT_EQ(ShareOf(1.0, 4095), 4095u);
  EXPECT_EQ(ShareOf(0.999999, 4096), 4095u);
}

TEST(SpansPolicy, ListsGoOverOneLayerOrAll) {
  Text text(300, 2, 1);
  PolicyRun one("spans:heads=20/40,sinks=0", &text, 2);
  PolicyRun all("spans:heads=20/40/60/80,sinks=0", &text, 2);
  one.Append(300);
  all.Append(300);
  for (size_t head = 0; head < 2; ++head) {
    EXPECT_EQ(one.Keys(299, head, 1).size(), 20 + 20 * head);
    EXPECT_EQ(all.Keys(299, head, 0).size(), 20 + 20 * head);
    EXPECT_EQ(all.Keys(299, head, 1).size(), 60 + 20 * head);
  }
}

TEST(SpansPolicy, AFileNamesHeadsAndTheOthersGetTheSpan) {
  const test::TempDir dir;
  const std::string path = dir.Write("spans", "# two heads\n1 0 50\n\n* 1 0.5  # of the text\n1 1 30\r\n");
  Text text(300, 2, 1);
  PolicyRun run("spans:span=70,sinks=0,file=" + path, &text, 2);
  run.Append(300);
  EXPECT_EQ(run.Keys(299, 0, 0).size(), 70u);
  EXPECT_EQ(run.Keys(299, 0, 1).size(), 50u);
  EXPECT_EQ(run.Keys(299, 1, 0).size(), 160u);
  EXPECT_EQ(run.Keys(299, 1, 1).size(), 30u);
  EXPECT_EQ(run.policy().Spec(), "spans:span=70,heads=none,file=" + path + ",sinks=0");
}

TEST(SpansPolicy, WrongSpansAndFilesAreRefusedInOneSentence) {
  const ModelShape shape = {2, 2, 1, 16, {}};
  const test::TempDir dir;
  const auto message = [&](const std::string& spec) { return Create("spans:" + spec, shape).status().message(); };
  EXPECT_EQ(message("span=x"), "'x' is not a span (256, 0.25 or 256+0.25)");
  EXPECT_EQ(message("span=1.5"), "'1.5' is not a span (256, 0.25 or 256+0.25)");
  EXPECT_EQ(message("span=-1"), "'-1' is not a span (256, 0.25 or 256+0.25)");
  EXPECT_EQ(message("span=1+nan"), "'1+nan' is not a span (256, 0.25 or 256+0.25)");
  EXPECT_EQ(message("span=99999999999999999999"), "'99999999999999999999' is not a span (256, 0.25 or 256+0.25)");
  EXPECT_EQ(message("heads=1/2/3"), "policy spans: heads lists 3 spans; a layer has 2 heads, the model 4");
  EXPECT_EQ(message("heads=1/2,file=x"), "policy spans: heads and file cannot be given together");
  EXPECT_EQ(message("file=" + dir.File("none")), "cannot open: No such file or directory");
  const auto line = [&](const std::string& text) { return ParseSpanFile(text, shape, {}).status().ToString(); };
  EXPECT_EQ(line("0 0 5\n2 0 5"), "line 2: '2' is neither * nor a layer below 2");
  EXPECT_EQ(line("0 -1 5"), "line 1: '-1' is neither * nor a head below 2");
  EXPECT_EQ(line("0 1"), "line 1: found 2 words where LAYER HEAD SPAN was expected");
  EXPECT_EQ(line("0 1 \x1b[2J"), "line 1: '\\x1b[2J' is not a span (256, 0.25 or 256+0.25)");
}

}  // namespace
}  // namespace damask::policies
