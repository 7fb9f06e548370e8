#include <gtest/gtest.h>

#include "policies/head_states.h"
#include "policies/heavy_hitters.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

// Keys that no query likes, but for those at `positions`, which all queries of head 0 like.
Text WithHeavyKeys(size_t length, const std::vector<uint64_t>& positions) {
  Text text(length, 2, 1);
  for (float& k : text.keys) k *= 0.1f;
  for (const uint64_t position : positions) text.key(position)[3] = 20.0f;
  for (uint64_t p = 0; p < length; ++p) text.query(p, 0)[3] = 1.0f;
  for (uint64_t p = 0; p < length; ++p) text.query(p, 1)[3] = -1.0f;
  return text;
}

const HeavyHitters& StateOf(PolicyRun* run) { return static_cast<HeadStates<HeavyHitters>*>(run->state())->at(0, 0); }

TEST(H2oPolicy, KeepsTheHeavyHitterOfEachHead) {
  Text text = WithHeavyKeys(1200, {100, 420});
  PolicyRun run("h2o:heavy=4,recent=64", &text);
  run.Append(1200);
  for (const uint64_t query : {600, 1100, 1199}) {
    EXPECT_TRUE(run.Keys(query, 0).contains(100)) << query;
    EXPECT_TRUE(run.Keys(query, 0).contains(420)) << query;
    EXPECT_FALSE(run.Keys(query, 1).contains(100)) << query;
  }
  EXPECT_EQ(StateOf(&run).heavy(0).size(), 4u);
}

TEST(H2oPolicy, SumsAreTheProbabilitiesOverWhatThePlansHeld) {
  Text text(700, 2, 1);
  PolicyRun run("h2o:heavy=30,recent=50", &text);
  run.Append(600);
  for (int i = 0; i < 5; ++i) run.Append(1);
  for (size_t head = 0; head < 2; ++head) {
    std::vector<double> sums(605);
    for (uint64_t query = 0; query < 605; ++query) {
      double total = 0;
      std::vector<std::pair<uint64_t, double>> p;
      for (const uint64_t key : run.Keys(query, head)) {
        double score = 0;
        for (size_t d = 0; d < Text::kDim; ++d) score += static_cast<double>(text.query(query, head)[d]) * text.key(key)[d];
        p.emplace_back(key, std::exp(score / 4));
        total += p.back().second;
      }
      for (const auto& [key, weight] : p) sums[key] += weight / total;
    }
    ASSERT_EQ(StateOf(&run).heavy(head).size(), 30u);
    for (const HeavyHitters::Key& key : StateOf(&run).heavy(head))
      EXPECT_NEAR(key.sum, sums[key.position], 1e-4) << key.position;
  }
}

TEST(H2oPolicy, ADroppedPositionIsNeverReadAgain) {
  Text text(1300, 2, 1);
  PolicyRun run("h2o:heavy=20,recent=40", &text);
  std::set<uint64_t> dropped;
  for (const size_t count : {512, 300, 1, 1, 1, 60, 425}) {
    run.Forget();
    run.Append(count);
    for (const PlannedBlock& block : run.blocks()) {
      for (const float value : run.Attend(block)) ASSERT_TRUE(std::isfinite(value)) << "query block " << block.first;
    }
    // What no head keeps is poisoned: a plan that read it would give NaN.
    for (uint64_t position = 0; position < StateOf(&run).low(); ++position) {
      if (StateOf(&run).Keeps(position, position + 1)) continue;
      dropped.insert(position);
      run.Poison(position);
    }
  }
  EXPECT_GT(dropped.size(), 1000u);
}

TEST(H2oPolicy, NoRowSeesMoreThanItsBudgetAndTheQuartersOfItsBlock) {
  Text text(1500, 2, 1);
  PolicyRun run("h2o:budget=128", &text);
  run.Append(1500);
  for (uint64_t query = 0; query < 1500; query += 11) {
    EXPECT_LE(run.Keys(query).size(), 128u + 63u + 15u) << query;
    EXPECT_GE(run.Keys(query).size(), std::min<uint64_t>(query + 1, 64)) << query;
  }
  for (uint64_t query = 1088; query < 1088 + 64; ++query) EXPECT_GE(run.Keys(query).size(), 128u) << query;
}

TEST(H2oPolicy, SharesGrowWithTheText) {
  Text text(2048, 2, 1);
  PolicyRun run("h2o:heavy=0.1,recent=0.05", &text);
  run.Append(1024);
  EXPECT_EQ(StateOf(&run).heavy(0).size(), 153u);
  run.Append(1024);
  EXPECT_EQ(StateOf(&run).heavy(0).size(), 256u);
}

TEST(H2oPolicy, ABrokenChunkLeavesNoTrace) {
  Text text(1200, 2, 1);
  PolicyRun fresh("h2o:heavy=20,recent=40", &text);
  PolicyRun broken("h2o:heavy=20,recent=40", &text);
  fresh.Append(700);
  broken.Append(700);
  broken.Append(200);
  EXPECT_EQ(broken.state()->ExactLength(700), 700u);
  broken.Truncate(700);
  fresh.Forget();
  broken.Forget();
  for (PolicyRun* run : {&fresh, &broken}) {
    run->Append(300);
    run->Append(1);
  }
  ExpectSamePlans(fresh, broken);
}

TEST(H2oPolicy, AStateSaysHowFarItCanGoBackExactly) {
  Text text(1300, 2, 1);
  PolicyRun run("h2o:heavy=20,recent=40", &text);
  run.Append(1200);
  EXPECT_EQ(run.state()->ExactLength(1200), 1200u);
  EXPECT_EQ(run.state()->ExactLength(1100), 1024u);
  EXPECT_EQ(run.state()->ExactLength(1000), 0u);
  run.Truncate(1024);
  EXPECT_EQ(run.state()->ExactLength(1024), 1024u);
  EXPECT_EQ(run.state()->ExactLength(1023), 0u);
  run.Truncate(0);
  run.Forget();
  run.Append(1200);
  PolicyRun fresh("h2o:heavy=20,recent=40", &text);
  fresh.Append(1200);
  ExpectSamePlans(fresh, run);
}

// Not the plans of a fresh session, but sound ones.
TEST(H2oPolicy, ACutSomewhereElseStillGivesSoundPlans) {
  Text text(1500, 2, 1);
  for (const uint64_t length : {1190, 1100, 1024, 777, 512, 100, 5}) {
    PolicyRun run("h2o:heavy=20,recent=40", &text);
    run.Append(1200);
    run.Truncate(length);
    run.Forget();
    run.Append(300);
    run.Append(1);
    run.ExpectSoundPlans();
  }
}

TEST(H2oPolicy, ComingToARunningSessionItDropsNothingUnseen) {
  Text text(1400, 2, 1);
  PolicyRun late("h2o:heavy=20,recent=40", &text);
  late.SkipTo(1024);
  late.Append(200);
  late.Append(1);
  late.ExpectSoundPlans();
  EXPECT_EQ(late.Keys(1100).size(), 1101u);
  EXPECT_LT(late.Keys(1224).size(), 100u);
}

// The first two collect more than the third does in its few rows, and are out of sight by then.
TEST(H2oPolicy, HeavyHittersBehindTheModelsWindowMakeRoom) {
  Text text = WithHeavyKeys(1200, {40, 41, 1040});
  PolicyRun run("h2o:heavy=2,recent=32", &text, 1, {200});
  run.Append(1100);
  run.Append(1);
  EXPECT_TRUE(run.Keys(1100, 0).contains(1040));
  for (size_t head = 0; head < 2; ++head) {
    EXPECT_EQ(StateOf(&run).heavy(head).size(), 2u);
    for (const HeavyHitters::Key& key : StateOf(&run).heavy(head)) EXPECT_GT(key.position + 200, 1101u) << key.position;
  }
  run.ExpectSoundPlans();
}

TEST(H2oPolicy, PagesBehindTheModelsWindowAreReleased) {
  Text text = WithHeavyKeys(1200, {40});
  // Of few recent keys most are decided, of many none.
  for (const std::string spec : {"h2o:heavy=2,recent=32", "h2o:heavy=2,recent=1100"}) {
    PolicyRun run(spec, &text, 1, {200});
    run.Append(1100);
    for (uint64_t block = 0; (block + 1) * 64 <= 1100 - 199; ++block) {
      EXPECT_TRUE(run.policy().MayRelease(0, 0, block, 1100, run.state())) << spec << " block " << block;
      EXPECT_TRUE(run.policy().MayRelease(0, 0, block, 1100, nullptr)) << spec << " block " << block;
    }
    EXPECT_FALSE(run.policy().MayRelease(0, 0, 16, 1100, run.state())) << spec;
  }
}

TEST(H2oPolicy, TheShapeOfAPlanHasHeavyHittersThatTheModelsWindowShows) {
  const auto policy = *Create("h2o:heavy=20,recent=40", {1, 2, 1, Text::kDim, {200}});
  kernels::Plan plan;
  policy->MakePlan({.first_position = 1088, .rows = 64, .context = 1152}, &plan);
  EXPECT_EQ(plan.columns.size(), 20u);
}

TEST(H2oPolicy, TheFirstChunkAfterItCameLeavesNoTraceEither) {
  Text text(1400, 2, 1);
  PolicyRun fresh("h2o:heavy=20,recent=40", &text);
  PolicyRun broken("h2o:heavy=20,recent=40", &text);
  fresh.SkipTo(1024);
  broken.SkipTo(1024);
  broken.Append(100);
  EXPECT_EQ(broken.state()->ExactLength(1100), 1024u);
  broken.Truncate(1024);
  broken.Forget();
  for (PolicyRun* run : {&fresh, &broken}) {
    run->Append(200);
    run->Append(1);
  }
  ExpectSamePlans(fresh, broken);
}

}  // namespace
}  // namespace damask::policies
