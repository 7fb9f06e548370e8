#include "policies/tca.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "policies/head_states.h"
#include "policies/kept_keys.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

const KeptKeys& StateOf(PolicyRun* run, size_t kv_head = 0) {
  return static_cast<HeadStates<KeptKeys>*>(run->state())->at(0, kv_head);
}

TEST(TcaCore, LikenessToWhatIsChosenCountsAgainstAKey) {
  const std::vector<float> keys = {1, 0, 2, 0, 0, 1, -1, 0};  // the second like the first, the third across, the fourth against
  const std::vector<float> importance = {1.0f, 0.9f, 0.6f, 0.5f};
  std::vector<uint32_t> chosen;
  ChooseCore(keys, 2, importance, 0.0, 0, 3, &chosen);
  EXPECT_EQ(chosen, (std::vector<uint32_t>{0, 1, 2}));
  ChooseCore(keys, 2, importance, 0.5, 0, 3, &chosen);
  EXPECT_EQ(chosen, (std::vector<uint32_t>{0, 2, 3}));  // 0.9 x 0.5 is less than 0.5
  ChooseCore(keys, 2, importance, 1.0, 2, 3, &chosen);
  EXPECT_EQ(chosen, (std::vector<uint32_t>{0, 1, 2}));  // the first two are forced
  ChooseCore(keys, 2, importance, 1.0, 0, 9, &chosen);
  EXPECT_EQ(chosen, (std::vector<uint32_t>{0, 2, 3, 1}));
}

TEST(TcaCore, OfEqualKeysTheFirstIsChosen) {
  const std::vector<float> keys(8 * 4, 0.5f);
  const std::vector<float> importance(8, 0.25f);
  std::vector<uint32_t> chosen;
  ChooseCore(keys, 4, importance, 0.5, 0, 3, &chosen);
  EXPECT_EQ(chosen, (std::vector<uint32_t>{0, 1, 2}));
}

TEST(TcaShares, AreScaledToTheirMeanAndNeverAboveOne) {
  const std::vector<float> shares = {0.1f, 0.2f, 0.4f, 0.9f};
  for (const double mean : {0.05, 0.2, 0.39, 0.7, 0.95, 1.0}) {
    const std::vector<float> scaled = ScaleShares(shares, mean);
    EXPECT_NEAR(std::accumulate(scaled.begin(), scaled.end(), 0.0) / 4, mean, 1e-5);
    for (const float share : scaled) EXPECT_LE(share, 1.0f);
    EXPECT_TRUE(std::is_sorted(scaled.begin(), scaled.end()));
  }
  for (const float share : ScaleShares({0.0f, 1.0f}, 1.0)) EXPECT_EQ(share, 1.0f);
}

TEST(TcaPolicy, EachKvHeadKeepsItsShareOfEveryPageBehindTheWindow) {
  Text text(1000, 4, 2);
  PolicyRun run("tca:heads=0.25/0.5,window=100,sinks=20,chunk=128", &text);
  run.Append(900);
  run.Append(1);
  const uint64_t border = 768;  // whole pages of 901 - 100
  EXPECT_EQ(StateOf(&run, 0).low(), border);
  EXPECT_EQ(StateOf(&run, 0).kept().size(), 20 + 16 * 11);
  EXPECT_EQ(StateOf(&run, 1).kept().size(), 32 * 12);
  const std::set<uint64_t> seen = run.Keys(900, 0);
  for (uint64_t key = 0; key < 20; ++key) EXPECT_TRUE(seen.contains(key)) << key;
  for (uint64_t key = border; key <= 900; ++key) EXPECT_TRUE(seen.contains(key)) << key;
}

TEST(TcaPolicy, KeepsTheKeysThatTheLatestRowsLookAt) {
  Text text(900, 2, 1);
  for (float& k : text.keys) k *= 0.1f;
  for (const uint64_t position : {100, 101, 420}) text.key(position)[3] = 20.0f;
  for (uint64_t p = 0; p < 900; ++p) text.query(p, 0)[3] = 1.0f;
  for (const std::string spec : {"tca:keep=50,sinks=0,window=64,chunk=64", "tca:keep=250,sinks=0,window=64,form=pages"}) {
    PolicyRun run(spec, &text);
    run.Append(900);
    EXPECT_TRUE(run.Keys(899).contains(100)) << spec;
    EXPECT_TRUE(run.Keys(899).contains(420)) << spec;
  }
}

TEST(TcaPolicy, ADroppedPositionIsNeverReadAgain) {
  Text text(1301, 2, 1);
  for (const std::string spec : {"tca:keep=150,window=40,sinks=4,chunk=64", "tca:keep=150,window=40,form=pages"}) {
    PolicyRun run(spec, &text);
    std::set<uint64_t> dropped;
    for (const size_t count : {512, 64, 64, 1, 1, 62, 64, 300, 60, 64, 64, 45}) {
      run.Forget();
      run.Append(count);
      for (const PlannedBlock& block : run.blocks()) {
        if (block.first + block.rows < run.length()) continue;  // planned before the last decision
        for (const float value : run.Attend(block)) ASSERT_TRUE(std::isfinite(value)) << spec << " block " << block.first;
      }
      for (uint64_t position = 0; position < StateOf(&run).low(); ++position) {
        if (StateOf(&run).Keeps(position, position + 1)) continue;
        dropped.insert(position);
        run.Poison(position);
      }
    }
    EXPECT_GT(dropped.size(), 900u) << spec;
  }
}

TEST(TcaPolicy, InPagesMemoryIsTheShare) {
  Text text(2112, 2, 1);
  PolicyRun run("tca:keep=250,window=64,sinks=64,form=pages", &text);
  run.Append(2112);
  size_t pages = 0;
  for (uint64_t block = 0; block < 33; ++block) {
    pages += run.policy().MayRelease(0, 0, block, 2112, run.state()) ? 0 : 1;
  }
  EXPECT_EQ(pages, 8u + 1u);
}

TEST(TcaPolicy, WhileATextGrowsTokenByTokenItDecidesWithEveryPage) {
  Text text(400, 2, 1);
  PolicyRun run("tca:keep=250,window=64,sinks=0,chunk=64", &text);
  run.Append(256);
  EXPECT_EQ(StateOf(&run).kept().size(), 48u);
  for (int i = 0; i < 63; ++i) run.Append(1);
  EXPECT_EQ(StateOf(&run).kept().size(), 48u);
  run.Append(1);
  EXPECT_EQ(StateOf(&run).kept().size(), 64u);
  EXPECT_EQ(run.state()->ExactLength(319), 319u);
  EXPECT_EQ(run.state()->ExactLength(318), 0u);
}

TEST(TcaPolicy, WrongOptionsAreRefusedInOneSentence) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const auto message = [&](const std::string& spec) { return Create("tca:" + spec, shape).status().message(); };
  EXPECT_EQ(message("heads=0.5/1.5"), "policy tca: a share in the table is not between 0 and 1");
  EXPECT_EQ(message("lambda=2"), "policy tca: lambda='2' is not a number between 0 and 1");
  EXPECT_EQ(message("form=x"), "policy tca: form='x' is neither keys nor pages");
}

}  // namespace
}  // namespace damask::policies
