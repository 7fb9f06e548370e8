#include <bit>

#include <gtest/gtest.h>

#include "policies/density.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

constexpr size_t kBlock = 128;

// Keys a slot at which each key block before the rows' own is computed; 0: skipped. A block is all at one level.
std::vector<uint64_t> LevelsOf(const PlannedBlock& planned, size_t g) {
  std::vector<uint64_t> levels(planned.first / kBlock, 0);
  for (uint64_t block = 0; block < levels.size(); ++block) {
    size_t quarters = 0;
    for (const kernels::PlanEntry& entry : planned.plan.entries) {
      if (entry.block / 2 == block && (entry.heads >> g & 1) != 0) quarters += std::popcount(entry.quarters);
    }
    if (quarters == 8) levels[block] = 1;
    size_t slots = 0;
    for (const kernels::PooledEntry& entry : planned.plan.pooled) {
      for (uint64_t slot = 0; slot < 64 && (entry.heads >> g & 1) != 0; ++slot) {
        if ((entry.quarters >> (slot / 16) & 1) == 0 || kernels::LastPosition(entry, slot) / kBlock != block) continue;
        levels[block] = uint64_t{1} << entry.shift;
        ++slots;
      }
    }
    EXPECT_TRUE(slots == 0 || (quarters == 0 && slots * levels[block] == kBlock)) << "block " << block;
  }
  return levels;
}

// The estimate in double, for a query block of whole strides.
std::vector<double> Estimate(Text* text, uint64_t first, size_t rows, size_t head) {
  constexpr uint64_t kStride = 16;
  std::vector<double> blocks(first / kBlock + 1);
  for (uint64_t n = first / kStride; n < (first + rows) / kStride; ++n) {
    std::vector<double> p(n + 1);
    double total = 0;
    for (uint64_t m = 0; m <= n; ++m) {
      double sum = 0;
      for (uint64_t a = 0; a < kStride; ++a) {
        const float* q = text->query(n * kStride + kStride - 1 - a, head);
        for (size_t d = 0; d < Text::kDim; ++d) sum += static_cast<double>(q[d]) * text->key(m * kStride + a)[d];
      }
      total += p[m] = std::exp(sum / (kStride * 4.0));  // the root of kDim
    }
    for (uint64_t m = 0; m <= n; ++m) blocks[m * kStride / kBlock] += p[m] / total;
  }
  return blocks;
}

// Key blocks [begin, end), best first.
std::vector<uint64_t> Ranked(const std::vector<double>& scores, uint64_t begin, uint64_t end) {
  std::vector<uint64_t> order;
  for (uint64_t block = begin; block < end; ++block) order.push_back(block);
  std::stable_sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return scores[a] > scores[b]; });
  return order;
}

Text Peaky(size_t length, size_t heads) {
  Text text(length, heads, 1);
  for (float& q : text.queries) q *= 4.0f;
  return text;
}

// Keys, which are values too, come in runs of equal ones.
Text InRuns(size_t length, size_t heads, uint64_t run) {
  Text text(length, heads, 1, 3);
  for (uint64_t p = 0; p < length; ++p) std::copy_n(text.key(p / run * run), Text::kDim, text.key(p));
  return text;
}

TEST(PsaPolicy, LevelsFollowTheRanksOfTheEstimateBehindWhatIsForced) {
  Text text = Peaky(2816, 2);
  PolicyRun run("psa:similar=none,local=200", &text);
  run.Append(2816);
  for (const uint64_t first : {2688, 2752}) {
    for (size_t head = 0; head < 2; ++head) {
      // Of 22 blocks the first, the rows' own and two local ones are forced; bands end at ranks 1, 3, 5 and 11.
      const std::vector<uint64_t> order = Ranked(Estimate(&text, first, 64, head), 1, 19);
      std::vector<uint64_t> expected(21, 0);
      expected[0] = expected[19] = expected[20] = 1;
      expected[order[0]] = 4;
      for (size_t rank = 1; rank < 7; ++rank) expected[order[rank]] = 8;
      EXPECT_EQ(LevelsOf(run.BlockOf(first), head), expected);
    }
  }
}

TEST(PsaPolicy, EnergyEndsABandWithTheBlockThatReachesItsShare) {
  Text text = Peaky(1536, 1);
  PolicyRun run("psa:energy=0.5/0.6/0.7/0.9,similar=none,local=0", &text);
  run.Append(1536);
  const std::vector<double> scores = Estimate(&text, 1472, 64, 0);
  double total = 0;
  for (const double score : scores) total += score;
  double held = scores[0] + scores[11];
  const std::vector<uint64_t> levels = LevelsOf(run.BlockOf(1472), 0);
  for (const uint64_t block : Ranked(scores, 1, 11)) {
    const double share = held / total;
    EXPECT_EQ(levels[block], share < 0.5 ? 1u : share < 0.6 ? 2u : share < 0.7 ? 4u : share < 0.9 ? 8u : 0u) << share;
    held += scores[block];
  }
}

TEST(PsaPolicy, ABudgetIsKeptByEveryRowAndFilled) {
  Text text = Peaky(2048, 2);
  for (const std::string spec : {"psa:similar=none,decode=sparse", "psa:similar=none,heads=joint,decode=sparse",
                                 "psa:energy=1/1/1/1,similar=none,decode=sparse", "psa:decode=sparse"}) {
    for (const uint64_t budget : {90, 300, 1000}) {
      PolicyRun run(spec + ",budget=" + std::to_string(budget), &text);
      run.Append(2000);
      run.Append(1);
      for (const PlannedBlock& block : run.blocks()) {
        const uint64_t own = block.first % kBlock + block.rows;
        const uint64_t last = block.first + block.rows - 1;
        kernels::Plan plan = block.plan;
        const uint64_t pairs = kernels::PlannedPairs(block.plan, last, 1, 2) / 2;
        EXPECT_LE(pairs, std::max(budget, own + 16)) << spec;
        const bool covered = last < budget || own + 16 >= budget;
        EXPECT_TRUE(covered || pairs + kBlock > budget) << spec << " at " << block.first;
      }
    }
  }
}

TEST(PsaPolicy, ABudgetOfEveryKeyIsDense) {
  Text text = Peaky(700, 2);
  PolicyRun run("psa:budget=700,topk=0/0/0/0.5,decode=sparse", &text);
  PolicyRun full("full", &text);
  for (PolicyRun* each : {&run, &full}) {
    each->Append(699);
    each->Append(1);
  }
  EXPECT_EQ(run.planned_pairs(), run.causal_pairs());
  ExpectSamePlans(run, full);
}

TEST(PsaPolicy, AnyDensityCanBeMet) {
  const ModelShape shape = {1, 4, 2, 16, {}};
  for (const double density : {0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 1.0}) {
    for (const std::string spec : {"psa", "psa:similar=none,local=0"}) {
      const Result<std::string> found = SpecForDensity(spec, density, 16384, shape);
      ASSERT_TRUE(found.ok()) << found.status().ToString();
      const double met = ShapeDensity(**Create(*found, shape), shape, 16384);
      EXPECT_LE(met, density);
      EXPECT_GT(met, density * 0.85) << *found;
    }
  }
}

TEST(PsaPolicy, KeysAndValuesThatAreAlikeMakeEveryLevelExact) {
  Text text = InRuns(1100, 2, 8);
  for (const std::string spec : {"psa:topk=0/0/0/1,local=0,decode=sparse", "psa:topk=0.1/0.4/0.7/1,local=0,decode=sparse",
                                 "psa:topk=0/1/1/1,heads=joint,decode=sparse"}) {
    PolicyRun run(spec, &text);
    PolicyRun full("full", &text);
    for (PolicyRun* each : {&run, &full}) {
      each->Append(1000);
      each->Append(1);
      each->Append(99);
    }
    EXPECT_LT(run.planned_pairs(), run.causal_pairs());
    for (size_t i = 0; i < run.blocks().size(); ++i) {
      const std::vector<float> pooled = run.Attend(run.blocks()[i]);
      const std::vector<float> dense = full.Attend(full.blocks()[i]);
      for (size_t j = 0; j < dense.size(); ++j) ASSERT_NEAR(pooled[j], dense[j], 1e-5f) << spec;
    }
  }
}

TEST(PsaPolicy, OfEqualEstimatesTheLowerBlockGetsTheFinerLevel) {
  Text text(1408, 1, 1);
  std::fill(text.keys.begin(), text.keys.end(), 0.5f);
  PolicyRun run("psa:topk=0.2/0.4/0.6/0.9,local=0", &text);
  run.Append(1408);
  // Of 11 blocks bands end at ranks 2, 4, 6 and 9, of which two are forced.
  EXPECT_EQ(LevelsOf(run.BlockOf(1344), 0), (std::vector<uint64_t>{1, 2, 2, 4, 4, 8, 8, 8, 0, 0}));
}

TEST(PsaPolicy, ABlockIsPooledOnlyAsFarAsItsKeysAreAlikeAndASkipStaysASkip) {
  Text text = Peaky(2048, 1);
  for (uint64_t p = 512; p < 1024; ++p) std::copy_n(text.key(p / 2 * 2), Text::kDim, text.key(p));
  for (uint64_t p = 1024; p < 1536; ++p) std::copy_n(text.key(p / 8 * 8), Text::kDim, text.key(p));
  PolicyRun capped("psa:local=0", &text);
  PolicyRun free("psa:similar=none,local=0", &text);
  capped.Append(2048);
  free.Append(2048);
  const std::vector<uint64_t> levels = LevelsOf(capped.BlockOf(1984), 0);
  const std::vector<uint64_t> uncapped = LevelsOf(free.BlockOf(1984), 0);
  for (uint64_t block = 1; block < 15; ++block) {
    const uint64_t cap = block < 4 || block >= 12 ? 1 : block < 8 ? 2 : 8;
    EXPECT_EQ(levels[block], std::min(uncapped[block], cap)) << block;
  }
  EXPECT_EQ(capped.Keys(1984), free.Keys(1984));
}

TEST(PsaPolicy, HeadsChooseForThemselvesOrTogether) {
  Text text = Peaky(2048, 2);
  PolicyRun each("psa:similar=none,local=0", &text);
  PolicyRun joint("psa:similar=none,local=0,heads=joint", &text);
  each.Append(2048);
  joint.Append(2048);
  EXPECT_NE(LevelsOf(each.BlockOf(2047), 0), LevelsOf(each.BlockOf(2047), 1));
  EXPECT_EQ(LevelsOf(joint.BlockOf(2047), 0), LevelsOf(joint.BlockOf(2047), 1));
}

TEST(PsaPolicy, ADecodedTokenSeesEverythingUnlessItIsToldOtherwise) {
  Text text = Peaky(1500, 1);
  for (uint64_t p = 704; p < 712; ++p) std::copy_n(text.query(1499), Text::kDim, text.key(p));
  PolicyRun dense("psa:similar=none", &text);
  PolicyRun sparse("psa:similar=none,topk=0.3/0.3/0.3/0.3,local=0,decode=sparse", &text);
  for (PolicyRun* run : {&dense, &sparse}) {
    run->Append(1499);
    run->Append(1);
  }
  EXPECT_EQ(dense.Keys(1499).size(), 1500u);
  // Of 12 blocks three are computed: the first, the token's own, and the one whose mean is the query.
  std::vector<uint64_t> expected(11, 0);
  expected[0] = expected[5] = 1;
  EXPECT_EQ(LevelsOf(sparse.BlockOf(1499), 0), expected);
}

TEST(PsaPolicy, WhatTheModelsWindowCutsIsNotPooled) {
  Text text = InRuns(1300, 2, 8);
  PolicyRun run("psa:topk=0/0/0/1,local=0,decode=sparse", &text, 1, {500});
  PolicyRun full("full", &text, 1, {500});
  for (PolicyRun* each : {&run, &full}) {
    each->Append(1299);
    each->Append(1);
  }
  run.ExpectSoundPlans();
  for (size_t i = 0; i < run.blocks().size(); ++i) {
    const std::vector<float> pooled = run.Attend(run.blocks()[i]);
    const std::vector<float> dense = full.Attend(full.blocks()[i]);
    for (size_t j = 0; j < dense.size(); ++j) ASSERT_NEAR(pooled[j], dense[j], 1e-5f);
  }
  EXPECT_FALSE(run.BlockOf(1299).plan.pooled.empty());
}

TEST(PsaPolicy, ATextCutBackIsPooledAnew) {
  Text text = Peaky(1300, 1);
  const std::string spec = "psa:topk=0/0.2/0.5/1,similar=none,local=0,decode=sparse";
  PolicyRun fresh(spec, &text);
  fresh.Append(900);
  fresh.Forget();
  fresh.Append(200);
  Text other = text;
  for (uint64_t p = 900; p < 1300; ++p) std::fill_n(other.key(p), Text::kDim, 100.0f);
  PolicyRun cut(spec, &other);
  cut.Append(1300);
  cut.Truncate(900);
  EXPECT_EQ(cut.state()->ExactLength(900), 900u);
  EXPECT_EQ(cut.state()->bytes(), (7 + 4 + 2) * uint64_t{64 * Text::kDim * 8});  // seven key blocks
  cut.Forget();
  other.keys = text.keys;
  cut.Append(200);
  ExpectSamePlans(fresh, cut);
  for (size_t i = 0; i < fresh.blocks().size(); ++i) {
    ASSERT_EQ(fresh.Attend(fresh.blocks()[i]), cut.Attend(cut.blocks()[i]));
  }
}

}  // namespace
}  // namespace damask::policies
