// Plans against the rule for single pairs (extend.h), counted by brute force.
#include "masks/compile.h"

#include <gtest/gtest.h>

#include "masks/density.h"
#include "masks/extend.h"
#include "tests/masks/mask_cases.h"

namespace damask::masks {
namespace {

// A group of heads with everything a mask file may hold.
struct Group {
  std::vector<HeadMask> heads;
  Parameters parameters;
};

Group RandomGroup(uint32_t seed) {
  std::mt19937 random(seed);
  Group group;
  constexpr uint32_t kLengths[] = {1, 7, 32, 64, 100, 128, 200};
  group.parameters.capture_length = kLengths[seed % 7];
  constexpr uint32_t kSinks[] = {1, 16, 20, 64, 70, 130};
  group.parameters.sink_keys = kSinks[random() % 6];
  const size_t heads = 1 + random() % 5;
  for (size_t i = 0; i < heads; ++i) {
    constexpr double kFill[] = {0.01, 0.05, 0.3, 0.9, 0.0};
    HeadMask head = RandomHead(group.parameters.capture_length, kFill[random() % 5], &random);
    if (Chance(0.2, &random)) {
      head.form = StaticForm::kWindow;
      head.window = 1 + random() % 150;
      head.window_sinks = random() % 80;
    }
    if (Chance(0.1, &random)) head.treatment = Chance(0.5, &random) ? Treatment::kDense : Treatment::kContent;
    group.heads.push_back(head);
  }
  if (heads > 2 && Chance(0.5, &random)) group.heads[1] = group.heads[0];
  return group;
}

void ExpectOrdered(const kernels::Plan& plan, uint64_t last) {
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    ASSERT_LE(plan.entries[i].block, last / 64);
    ASSERT_NE(plan.entries[i].quarters, 0);
    ASSERT_NE(plan.entries[i].heads, 0u);
    if (i != 0) {
      ASSERT_LE(plan.entries[i - 1].block, plan.entries[i].block);
    }
  }
  for (size_t i = 0; i < plan.columns.size(); ++i) {
    ASSERT_LE(plan.columns[i].position, last);
    if (i != 0) {
      ASSERT_LT(plan.columns[i - 1].position, plan.columns[i].position);
    }
  }
}

TEST(Compile, ABlockThatIsNeverReachedIsInNoLaterPlan) {
  size_t never = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const Group group = RandomGroup(seed);
    const GroupMask mask(group.heads, group.parameters);
    CompileScratch scratch;
    kernels::Plan plan;
    for (const uint64_t position : {65u, 200u, 333u, 700u}) {
      for (const PlanMode mode : {PlanMode::kBlocks, PlanMode::kExact}) {
        for (uint64_t block = 0; block <= position / 64; ++block) {
          if (!mask.NeverReaches(block, position)) continue;
          ++never;
          for (const uint64_t query : {position, position + 1, position + 64, position + 1000}) {
            mask.MakePlan({.first_position = query, .rows = 1}, mode, &scratch, &plan);
            for (const kernels::PlanEntry& entry : plan.entries) ASSERT_NE(entry.block, block) << seed << " " << query;
            for (const kernels::PlanColumn& column : plan.columns) ASSERT_NE(column.position / 64, block) << seed;
          }
        }
      }
    }
  }
  EXPECT_GT(never, 100u);
}

// Every pair of these rows: computed once if the mask keeps it, never above the diagonal, behind the window or (exact) outside
// the mask, and never twice.
void ExpectCovers(const Group& group, const QueryRows& rows, PlanMode mode, const std::string& trace) {
  const GroupMask mask(group.heads, group.parameters);
  CompileScratch scratch;
  kernels::Plan plan;
  mask.MakePlan(rows, mode, &scratch, &plan);
  const uint64_t last = rows.first_position + rows.rows - 1;
  ExpectOrdered(plan, last);
  if (testing::Test::HasFatalFailure()) FAIL() << trace;
  for (size_t head = 0; head < group.heads.size(); ++head) {
    for (uint64_t query = rows.first_position; query <= last; ++query) {
      for (uint64_t key = 0; key < last / 64 * 64 + 64; ++key) {
        const bool seen = key <= query && (rows.window == 0 || key + rows.window > query);
        const bool kept = seen && Keeps(group.heads[head], group.parameters, query, key);
        const int times = TimesComputed(plan, rows.first_position, query, key, head);
        const bool right =
            mode == PlanMode::kExact ? times == (kept ? 1 : 0) : times <= (seen ? 1 : 0) && times >= (kept ? 1 : 0);
        ASSERT_TRUE(right) << trace << ": head " << head << " query " << query << " key " << key << " is computed " << times
                           << " times, kept " << kept << ", seen " << seen;
      }
    }
  }
}

QueryRows RandomRows(std::mt19937* random, uint64_t blocks) {
  QueryRows rows;
  const uint64_t within = (*random)() % 3 == 0 ? 0 : (*random)() % 64;
  rows.first_position = (*random)() % blocks * 64 + within;
  rows.rows = (*random)() % 4 == 0 ? 64 - within : 1 + (*random)() % (64 - within);
  return rows;
}

TEST(Compile, ExactPlansCoverTheMaskAndNothingElse) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    std::mt19937 random(seed + 1000);
    const Group group = RandomGroup(seed);
    ExpectCovers(group, RandomRows(&random, 9), PlanMode::kExact, "seed " + std::to_string(seed));
    if (HasFatalFailure()) return;
  }
}

TEST(Compile, BlockPlansCoverTheMaskAndStayCausal) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    std::mt19937 random(seed + 2000);
    const Group group = RandomGroup(seed);
    ExpectCovers(group, RandomRows(&random, 9), PlanMode::kBlocks, "seed " + std::to_string(seed));
    if (HasFatalFailure()) return;
  }
}

TEST(Compile, PlansStayWithinTheModelsOwnWindow) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed + 3000);
    const Group group = RandomGroup(seed);
    QueryRows rows = RandomRows(&random, 7);
    rows.window = 1 + random() % 200;
    ExpectCovers(group, rows, seed % 2 == 0 ? PlanMode::kExact : PlanMode::kBlocks, "seed " + std::to_string(seed));
    if (HasFatalFailure()) return;
  }
}

TEST(Compile, M08_RowsGetTheSameKeysWhicheverChunkTheyComeIn) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const Group group = RandomGroup(seed);
    const GroupMask mask(group.heads, group.parameters);
    CompileScratch scratch;
    const uint32_t window = seed % 4 == 0 ? 1 + random() % 200 : 0;
    const uint64_t first = random() % 6 * 64;
    kernels::Plan whole;
    mask.MakePlan({first, 64, window}, PlanMode::kBlocks, &scratch, &whole);
    const size_t cut = 1 + random() % 63;
    const size_t rows = 1 + random() % (64 - cut);
    kernels::Plan part;
    mask.MakePlan({first + cut, rows, window}, PlanMode::kBlocks, &scratch, &part);
    for (size_t head = 0; head < group.heads.size(); ++head) {
      for (uint64_t query = first + cut; query < first + cut + rows; ++query) {
        for (uint64_t key = 0; key <= query; ++key) {
          ASSERT_EQ(TimesComputed(part, first + cut, query, key, head), TimesComputed(whole, first, query, key, head))
              << "seed " << seed << " head " << head << " query " << query << " key " << key;
        }
      }
    }
  }
}

TEST(Compile, M08_TextsBelowAtAboveAndFarBeyondTheCaptureLengthAreCovered) {
  const Group group = RandomGroup(4);  // capture length 100
  ASSERT_EQ(group.parameters.capture_length, 100u);
  for (const uint64_t position : {0, 63, 98, 99, 100, 101, 4000}) {
    for (const PlanMode mode : {PlanMode::kExact, PlanMode::kBlocks}) {
      ExpectCovers(group, {position, 1}, mode, "position " + std::to_string(position));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Compile, M06_AMaskOfDensityOneIsTheFullPlan) {
  std::mt19937 random(1);
  Group group;
  group.parameters.capture_length = 256;
  group.heads.assign(3, RandomHead(256, 1.0, &random));
  group.heads[2].treatment = Treatment::kDense;
  const GroupMask mask(group.heads, group.parameters);
  CompileScratch scratch;
  kernels::Plan plan;
  kernels::Plan full;
  for (uint64_t first = 0; first < 256; first += 64) {
    for (const PlanMode mode : {PlanMode::kBlocks, PlanMode::kExact}) {
      mask.MakePlan({first, 64}, mode, &scratch, &plan);
      kernels::FullPlan(first, 64, 0, &full);
      ASSERT_EQ(plan.entries.size(), full.entries.size());
      EXPECT_TRUE(plan.columns.empty());
      EXPECT_TRUE(plan.exact_masks.empty());
      for (size_t i = 0; i < full.entries.size(); ++i) {
        EXPECT_EQ(plan.entries[i].block, full.entries[i].block);
        EXPECT_EQ(plan.entries[i].quarters, full.entries[i].quarters);
        EXPECT_EQ(plan.entries[i].causal, full.entries[i].causal);
        EXPECT_EQ(plan.entries[i].heads & 7u, 7u);
      }
    }
  }
}

TEST(Compile, M06_AMaskOfDensityZeroStillGivesEveryRowItsDiagonalAndTheFirstKeys) {
  std::mt19937 random(1);
  Group group;
  group.parameters.capture_length = 64;
  group.parameters.sink_keys = 1;
  group.heads.assign(2, RandomHead(64, 0.0, &random));
  for (const uint64_t first : {0, 64, 1024}) {
    ExpectCovers(group, {first, 64}, PlanMode::kExact, "exact");
    ExpectCovers(group, {first, 64}, PlanMode::kBlocks, "blocks");
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(KeptPairs(group.heads[0], group.parameters, 100), 100u + 99u);
}

TEST(Compile, PlansOfAMillionTokensHoldOnlyKeptPatterns) {
  std::mt19937 random(3);
  Group group;
  group.heads = {RandomHead(256, 0.05, &random), RandomHead(256, 0.05, &random)};
  const GroupMask mask(group.heads, group.parameters);
  CompileScratch scratch;
  kernels::Plan near;
  kernels::Plan far;
  mask.MakePlan({1024, 64}, PlanMode::kBlocks, &scratch, &near);
  mask.MakePlan({1 << 20, 64}, PlanMode::kBlocks, &scratch, &far);
  EXPECT_EQ(near.entries.size(), far.entries.size());
  EXPECT_EQ(near.columns.size(), far.columns.size());
  EXPECT_LT(far.entries.size(), 32u);
  EXPECT_LT(mask.bytes(), 64u << 10);
}

TEST(Compile, AQuarterFullOfVerticalsIsComputedWhole) {
  std::mt19937 random(3);
  Group group;
  group.parameters.sink_keys = 16;
  group.heads = {RandomHead(256, 0.0, &random)};
  for (uint32_t column = 32; column < 32 + kQuarterFromColumns; ++column)
    group.heads[0].patterns.verticals.push_back({column, 1});
  group.heads[0].patterns.verticals.push_back({100, 1});
  const GroupMask mask(group.heads, group.parameters);
  CompileScratch scratch;
  kernels::Plan plan;
  mask.MakePlan({1024, 64}, PlanMode::kBlocks, &scratch, &plan);
  ASSERT_EQ(plan.columns.size(), 1u);
  EXPECT_EQ(plan.columns[0].position, 100u);
  EXPECT_EQ(plan.entries[0].quarters, 0x5);
}

TEST(Extend, KeptPairsAreCountedLikePairByPair) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const Group group = RandomGroup(seed);
    for (const HeadMask& head : group.heads) {
      uint64_t pairs = 0;
      for (uint64_t query = 0; query < 330; ++query) {
        if (query % 41 == seed % 41) {
          ASSERT_EQ(KeptPairs(head, group.parameters, query), pairs) << "seed " << seed << " length " << query;
        }
        for (uint64_t key = 0; key <= query; ++key) pairs += Keeps(head, group.parameters, query, key) ? 1 : 0;
      }
    }
  }
}

TEST(Density, ExactPlansHaveTheTokenDensityOfTheMask) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const Group group = RandomGroup(seed);
    const GroupMask mask(group.heads, group.parameters);
    const uint64_t length = 300 + seed;
    double expected = 0.0;
    for (const HeadMask& head : group.heads) expected += TokenDensity(head, group.parameters, length);
    expected /= static_cast<double>(group.heads.size());
    EXPECT_NEAR(PlannedDensity(mask, length, PlanMode::kExact), expected, 1e-12) << "seed " << seed;
    EXPECT_GE(PlannedDensity(mask, length, PlanMode::kBlocks), expected - 1e-12) << "seed " << seed;
  }
}

}  // namespace
}  // namespace damask::masks
