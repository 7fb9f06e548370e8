#include "kernels/plan.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

#include "tests/kernels/attention_cases.h"

namespace damask::kernels {
namespace {

struct PlanCase {
  uint64_t first;
  size_t rows;
  size_t group;
  Plan plan;
};

PlanCase RandomCase(uint32_t seed, size_t largest_group) {
  std::mt19937 random(seed);
  const uint64_t first = random() % 300;
  const size_t rows = 1 + random() % 64;
  const size_t group = 1 + random() % largest_group;
  return {first, rows, group, RandomPlan(first, rows, group, &random)};
}

// Whether the kernels compute (query, key) for a head, read off the header's words.
bool Computed(const Plan& plan, uint64_t query, uint64_t key, size_t head) {
  for (const PlanEntry& entry : plan.entries) {
    if (entry.block != key / kPageTokens || (entry.heads >> head & 1) == 0) continue;
    if ((entry.quarters >> (key % kPageTokens / kQuarterTokens) & 1) == 0) continue;
    if (entry.causal && key > query) continue;
    if (entry.window != 0 && key + entry.window <= query) continue;
    return true;
  }
  for (const PlanColumn& column : plan.columns) {
    if (column.position == key && (column.heads >> head & 1) != 0 && key <= query) return true;
  }
  for (const PooledEntry& entry : plan.pooled) {
    const uint64_t slot = key >> entry.shift;
    if (entry.page != slot / kPageTokens || (entry.heads >> head & 1) == 0) continue;
    if ((entry.quarters >> (slot % kPageTokens / kQuarterTokens) & 1) == 0) continue;
    if (((slot + 1) << entry.shift) <= query + 1) return true;
  }
  return false;
}

TEST(Plan, CausalPairsAreTheLowerTriangle) {
  for (const uint64_t first : {0, 1, 63, 64, 1000}) {
    for (const size_t rows : {1, 2, 63, 64}) {
      uint64_t pairs = 0;
      for (uint64_t query = first; query < first + rows; ++query) pairs += query + 1;
      EXPECT_EQ(CausalPairs(first, rows, 3), 3 * pairs);
    }
  }
}

TEST(Plan, PlannedPairsAreTheCausalPartOfWhatEveryEntryAndColumnNames) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const auto [first, rows, group, plan] = RandomCase(seed, 32);
    uint64_t pairs = 0;
    for (size_t head = 0; head < group; ++head) {
      for (uint64_t query = first; query < first + rows; ++query) {
        for (const PlanEntry& entry : plan.entries) {
          for (size_t slot = 0; slot < kPageTokens; ++slot) {
            const bool named = (entry.heads >> head & 1) != 0 && (entry.quarters >> (slot / kQuarterTokens) & 1) != 0;
            if (named && uint64_t{entry.block} * kPageTokens + slot <= query) ++pairs;
          }
        }
        for (const PlanColumn& column : plan.columns) {
          if ((column.heads >> head & 1) != 0 && column.position <= query) ++pairs;
        }
      }
    }
    ASSERT_EQ(PlannedPairs(plan, first, rows, group), pairs) << "seed " << seed;
  }
}

// Means of keys, among keys as they are.
PlanCase RandomPyramidCase(uint32_t seed) {
  std::mt19937 random(seed);
  const uint64_t first = random() % 700;
  const size_t rows = 1 + random() % 64;
  return {first, rows, 1 + random() % 8, RandomPyramidPlan(first, rows, &random)};
}

TEST(Plan, APooledSlotIsOnePairOfEachRowThatSeesItsLastPosition) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    auto [first, rows, group, plan] = RandomPyramidCase(seed);
    uint64_t pairs = 0;
    for (const PooledEntry& entry : plan.pooled) {
      for (size_t slot = 0; slot < kPageTokens; ++slot) {
        if ((entry.quarters >> (slot / kQuarterTokens) & 1) == 0) continue;
        const uint64_t end = (uint64_t{entry.page} * kPageTokens + slot + 1) << entry.shift;
        for (uint64_t query = first; query < first + rows; ++query) {
          for (size_t head = 0; head < group; ++head) pairs += end <= query + 1 ? entry.heads >> head & 1 : 0;
        }
      }
    }
    const uint64_t all = PlannedPairs(plan, first, rows, group);
    plan.pooled.clear();
    ASSERT_EQ(all, pairs + PlannedPairs(plan, first, rows, group)) << "seed " << seed;
  }
}

TEST(Plan, OfEntriesWithAnExactMaskOnlyItsCausalPairsCount) {
  Plan plan;
  plan.exact_masks.resize(1);
  plan.exact_masks[0].rows[0] = 0x7;      // three rows
  plan.exact_masks[0].rows[3] = 0xf;      // above the diagonal for rows 0, 1, 2
  plan.exact_masks[0].rows[20] = 0xf;     // in a quarter that is not planned
  plan.exact_masks[0].rows[1] = 1u << 9;  // a row that is not there
  plan.entries.push_back({1, 0x1, 0x5, true, 0, 0});
  EXPECT_EQ(PlannedPairs(plan, 64, 4, 3), 2u * (3 + 1));
}

TEST(Plan, TheFullPlanComputesExactlyTheCausalPairs) {
  for (const uint64_t first : {0, 5, 63, 64, 100, 192}) {
    for (const size_t rows : {1, 3, 28, 64}) {
      Plan plan;
      FullPlan(first, rows, 0, &plan);
      for (uint64_t query = first; query < first + rows; ++query) {
        for (uint64_t key = 0; key < first + rows + 70; ++key) ASSERT_EQ(Computed(plan, query, key, 31), key <= query);
      }
      EXPECT_EQ(PlannedPairs(plan, first, rows, 5), CausalPairs(first, rows, 5));
    }
  }
}

TEST(Plan, TheFullPlanWithAWindowComputesExactlyTheWindow) {
  for (const uint64_t first : {0, 5, 64, 100, 300}) {
    for (const size_t rows : {1, 28, 64}) {
      for (const uint32_t window : {1, 2, 16, 63, 64, 65, 200, 1000}) {
        Plan plan;
        FullPlan(first, rows, window, &plan);
        for (uint64_t query = first; query < first + rows; ++query) {
          for (uint64_t key = 0; key < first + rows + 70; ++key) {
            const bool expected = key <= query && query - key < window;
            ASSERT_EQ(Computed(plan, query, key, 0), expected) << "window " << window << " query " << query << " key " << key;
          }
        }
      }
    }
  }
}

TEST(Plan, TheFullPlanMasksOnlyEdgesAndNamesOnlyQuartersThatAreNeeded) {
  Plan plan;
  FullPlan(640, 64, 200, &plan);
  // Keys 441 .. 703: from quarter 3 of block 6 to the diagonal block 10.
  ASSERT_EQ(plan.entries.size(), 5u);
  EXPECT_EQ(plan.entries.front().block, 6u);
  EXPECT_EQ(plan.entries.front().quarters, 0x8);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(plan.entries[i].causal, i == 4) << i;
    EXPECT_EQ(plan.entries[i].window, i < 2 ? 200u : 0u) << i;
  }
  FullPlan(640, 20, 0, &plan);
  EXPECT_EQ(plan.entries.back().quarters, 0x3) << "rows 640 .. 659 need two quarters of their block";
}

TEST(Plan, NoRowsNeedNoEntries) {
  Plan plan;
  FullPlan(0, 64, 0, &plan);
  FullPlan(64, 0, 0, &plan);
  EXPECT_TRUE(plan.entries.empty());
  EXPECT_EQ(PlannedPairs(plan, 64, 0, 4), 0u);
}

// All keys of a row, by the header's words.
std::set<uint64_t> KeysOf(const Plan& plan, uint64_t query, uint64_t keys, size_t head) {
  std::set<uint64_t> found;
  for (uint64_t key = 0; key < keys; ++key) {
    if (Computed(plan, query, key, head)) found.insert(key);
  }
  return found;
}

TEST(Plan, PlannedKeysAreThoseThatTheKernelsCompute) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const auto [first, rows, group, plan] = seed % 2 == 0 ? RandomCase(seed, 8) : RandomPyramidCase(seed);
    for (uint64_t query = first; query < first + rows; query += 7) {
      for (size_t head = 0; head < group; ++head) {
        std::vector<PositionRange> runs;
        PlannedKeys(plan, first, query, head, &runs);
        std::set<uint64_t> keys;
        uint64_t end = 0;
        for (const PositionRange& run : runs) {
          EXPECT_GE(run.begin, end);
          for (uint64_t key = run.begin; key < run.end; ++key) keys.insert(key);
          end = run.end;
        }
        ASSERT_EQ(keys, KeysOf(plan, query, first + rows, head)) << seed << " query " << query << " head " << head;
      }
    }
  }
}

TEST(Plan, PlannedKeysFollowAnExactMask) {
  Plan plan;
  plan.exact_masks.resize(1);
  plan.exact_masks[0].rows[3] = 0b10;
  plan.exact_masks[0].rows[4] = 0b10;
  plan.exact_masks[0].rows[9] = 0b01;
  plan.exact_masks[0].rows[20] = 0b10;  // in a quarter that is not planned
  plan.entries.push_back({0, 0x1, kAllHeads, true, 0, 0});
  std::vector<PositionRange> runs;
  PlannedKeys(plan, 64, 65, 0, &runs);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].begin, 3u);
  EXPECT_EQ(runs[0].end, 5u);
}

TEST(Plan, AWidenedHeadSeesEveryKeyAndTheOthersWhatTheySaw) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const auto [first, rows, group, plan] = seed % 2 == 0 ? RandomCase(seed, 8) : RandomPyramidCase(seed);
    Plan wide = plan;
    const size_t widened = seed % group;
    WidenHead(first, rows, 0, widened, &wide);
    const uint64_t query = first + rows - 1;
    for (size_t head = 0; head < group; ++head) {
      const size_t seen = KeysOf(wide, query, query + 1, head).size();
      EXPECT_EQ(seen, head == widened ? query + 1 : KeysOf(plan, query, query + 1, head).size()) << seed;
    }
    for (size_t i = 1; i < wide.entries.size(); ++i) EXPECT_LE(wide.entries[i - 1].block, wide.entries[i].block);
    for (const PooledEntry& entry : wide.pooled) EXPECT_EQ(entry.heads >> widened & 1, 0u);
  }
}

}  // namespace
}  // namespace damask::kernels
