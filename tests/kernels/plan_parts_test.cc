#include "kernels/plan_parts.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/attention_cases.h"

namespace damask::kernels {
namespace {

uint64_t KeyCount(const Plan& plan) {
  uint64_t keys = plan.columns.size();
  for (const PlanEntry& entry : plan.entries) keys += 16 * static_cast<uint64_t>(std::popcount(entry.quarters));
  for (const PooledEntry& entry : plan.pooled) keys += 16 * static_cast<uint64_t>(std::popcount(entry.quarters));
  return keys;
}

// Each list of a plan goes to the parts whole and in order, and parts are alike.
void ExpectPartition(const Plan& plan) {
  std::vector<PlanPart> parts;
  CutPlan(plan, &parts);
  ASSERT_FALSE(parts.empty());
  PlanPart at;
  for (const PlanPart& part : parts) {
    ASSERT_EQ(part.first_entry, at.end_entry);
    ASSERT_EQ(part.first_column, at.end_column);
    ASSERT_EQ(part.first_pooled, at.end_pooled);
    at = part;
    if (parts.size() == 1) continue;
    Plan copy;
    CopyPart(plan, part, &copy);
    ASSERT_GE(KeyCount(copy), kPartKeys - kPageTokens);
    ASSERT_LE(KeyCount(copy), 2 * kPartKeys + kPageTokens);
  }
  ASSERT_EQ(at.end_entry, plan.entries.size());
  ASSERT_EQ(at.end_column, plan.columns.size());
  ASSERT_EQ(at.end_pooled, plan.pooled.size());
}

TEST(PlanParts, ListsGoToThePartsWholeAndInOrder) {
  std::mt19937 random(1);
  for (const uint64_t first : {0, 1, 63, 2047, 2048, 4095, 4096, 5000, 9000, 20000}) {
    Plan plan;
    FullPlan(first, 1, 0, &plan);
    ExpectPartition(plan);
    ExpectPartition(RandomPlan(first, 2, 4, &random));
    ExpectPartition(RandomPyramidPlan(first, 1, &random));
    if (HasFatalFailure()) FAIL() << "first " << first;
  }
  ExpectPartition(Plan());
}

TEST(PlanParts, ShortPlansAndExactOnesStayWhole) {
  std::vector<PlanPart> parts;
  Plan plan;
  FullPlan(2 * kPartKeys - 65, 1, 0, &plan);
  CutPlan(plan, &parts);
  EXPECT_EQ(parts.size(), 1U);
  FullPlan(2 * kPartKeys, 1, 0, &plan);
  CutPlan(plan, &parts);
  EXPECT_EQ(parts.size(), 2U);
  plan.exact_masks.emplace_back();
  CutPlan(plan, &parts);
  EXPECT_EQ(parts.size(), 1U);
}

// A guess beside a token must be cut where it would be by itself.
TEST(PlanParts, RowsOfOneQuarterAreCutAlike) {
  std::vector<PlanPart> one;
  std::vector<PlanPart> many;
  for (const uint64_t quarter : {4096, 6128, 8192, 12304}) {
    Plan plan;
    FullPlan(quarter, 16, 0, &plan);
    CutPlan(plan, &many);
    for (uint64_t row = 0; row < 16; ++row) {
      FullPlan(quarter + row, 1, 0, &plan);
      CutPlan(plan, &one);
      ASSERT_EQ(one.size(), many.size());
      for (size_t i = 0; i < one.size(); ++i) ASSERT_EQ(one[i].end_entry, many[i].end_entry) << quarter << " " << row;
    }
  }
}

// What the engine does with a plan in parts (model/attention_step.cc).
void RunInParts(AttentionFn run, const AttentionShape& shape, const QueryBlock& block, const Plan& plan,
                const std::byte* const* pages) {
  std::vector<PlanPart> parts;
  CutPlan(plan, &parts);
  const size_t lanes = block.rows * shape.group;
  const size_t part_lanes = lanes + 3;
  std::vector<float> outs(parts.size() * part_lanes * shape.head_dim, 77.0f);
  std::vector<float> lses(parts.size() * part_lanes, 77.0f);
  AttentionScratch scratch;
  for (size_t i = 0; i < parts.size(); ++i) {
    Plan part;
    CopyPart(plan, parts[i], &part);
    QueryBlock of_part = block;
    of_part.out = outs.data() + i * part_lanes * shape.head_dim;
    of_part.out_stride = shape.group * shape.head_dim;
    of_part.lse = lses.data() + i * part_lanes;
    of_part.sinks = nullptr;
    run(shape, of_part, part, pages, &scratch);
  }
  MergeParts(shape, block, parts.size(), part_lanes, outs.data(), lses.data());
}

struct Tolerance {
  float out = 2e-5f;
  float lse = 5e-5f;
};

// As those of attention_test.cc.
Tolerance ToleranceOf(Target target) {
  if (target == Target::kAmx) return {2e-2f, 8e-3f};
  if (target >= Target::kAvx512Bf16) return {8e-3f, 5e-4f};
  if (target == Target::kAvx2) return {8e-3f, 3e-3f};
  return {};
}

class PartsOfTarget : public testing::TestWithParam<Target> {
 protected:
  void ExpectSame(const Plan& plan, const AttentionShape& shape, RandomQueries whole, RandomQueries parts,
                  const RandomCache& cache) const {
    AttentionScratch scratch;
    AttentionReference(shape, whole.block(), plan, cache.pages(), &scratch);
    RunInParts(FindAttention(GetParam(), shape), shape, parts.block(), plan, cache.pages());
    const Tolerance tolerance = ToleranceOf(GetParam());
    for (size_t i = 0; i < whole.out().size(); ++i) ASSERT_NEAR(parts.out()[i], whole.out()[i], tolerance.out) << i;
    for (size_t i = 0; i < whole.lse().size(); ++i) {
      if (std::isinf(whole.lse()[i])) {
        ASSERT_EQ(parts.lse()[i], whole.lse()[i]) << i;
      } else {
        ASSERT_NEAR(parts.lse()[i], whole.lse()[i], tolerance.lse) << i;
      }
    }
  }
};

TEST_P(PartsOfTarget, TogetherTheyGiveWhatTheWholeGives) {
  if (!TargetSupported(GetParam())) GTEST_SKIP();
  std::mt19937 random(7);
  const KvType kv = GetParam() == Target::kScalar ? KvType::kF32 : KvType::kBf16;
  for (const size_t group : {1, 3, 4, 8, 11}) {
    const size_t head_dim = group == 3 ? 80 : 64;
    const RandomCache cache({head_dim, kv}, 13000, 5);
    const AttentionShape shape{head_dim, group, 0.125f, kv};
    const size_t rows = group == 4 ? 2 : 1;
    for (const uint64_t first : {4096, 9001, 12960}) {
      RandomQueries queries(head_dim, group, first, rows, 11);
      std::vector<float> sinks(group, 3.0f);
      sinks[0] = -2.0f;
      RandomQueries with_sinks = queries;
      with_sinks.SetSinks(sinks);
      Plan plan;
      FullPlan(first, rows, 0, &plan);
      ExpectSame(plan, shape, queries, queries, cache);
      ExpectSame(plan, shape, with_sinks, with_sinks, cache);
      plan = RandomPlan(first, rows, group, &random);
      for (PlanEntry& entry : plan.entries) entry.heads &= ~1u;  // one head may see nothing but its sink
      for (PlanColumn& column : plan.columns) column.heads &= ~1u;
      std::erase_if(plan.entries, [](const PlanEntry& entry) { return entry.heads == 0; });
      std::erase_if(plan.columns, [](const PlanColumn& column) { return column.heads == 0; });
      ExpectSame(plan, shape, queries, queries, cache);
      ExpectSame(plan, shape, with_sinks, with_sinks, cache);
      if (HasFatalFailure()) FAIL() << "group " << group << " first " << first;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PartsOfTarget, testing::ValuesIn(AllTargets()),
                         [](const auto& of) { return std::string(TargetName(of.param)); });

}  // namespace
}  // namespace damask::kernels
