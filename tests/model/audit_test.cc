#include "model/audit.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/attention_cases.h"

namespace damask::model {
namespace {

using kernels::RandomCache;
using kernels::RandomQueries;

struct Case {
  kernels::PageLayout layout{64, kernels::KvType::kF32};
  kernels::AttentionShape shape{64, 2, 0.3f, kernels::KvType::kF32};
  RandomCache cache{layout, 300, 5};
  RandomQueries queries{64, 2, 256, 44, 9};
  kernels::AttentionScratch scratch;
  AuditScratch audit_scratch;

  std::vector<HeadAudit> Audit(const kernels::Plan& plan, size_t row) {
    const kernels::QueryBlock block = queries.block();
    kernels::AttentionReference(shape, block, plan, cache.pages(), &scratch);
    std::vector<HeadAudit> heads(2);
    AuditRow(Target::kScalar, shape, layout, block, plan, cache.pages(), row, 0, &audit_scratch, heads.data());
    return heads;
  }

  // Dense probabilities of a row, in double.
  std::vector<double> Probabilities(size_t row, size_t head) {
    std::vector<double> p(256 + row + 1);
    std::vector<float> key(64);
    for (size_t k = 0; k < p.size(); ++k) {
      kernels::LoadKey(layout, cache.pages()[k / 64], k % 64, key.data());
      double score = 0;
      for (size_t d = 0; d < 64; ++d)
        score += static_cast<double>(queries.q()[row * 128 + head * 64 + d]) * static_cast<double>(key[d]);
      p[k] = std::exp(0.3f * score);
    }
    double sum = 0;
    for (const double x : p) sum += x;
    for (double& x : p) x /= sum;
    return p;
  }
};

TEST(Audit, TheFullPlanLosesNothing) {
  Case c;
  kernels::Plan plan;
  kernels::FullPlan(256, 44, 0, &plan);
  for (const HeadAudit& head : c.Audit(plan, 17)) {
    EXPECT_EQ(head.rows, 1u);
    EXPECT_NEAR(head.recall(), 1.0, 1e-5);
    EXPECT_LT(head.output_error(), 1e-5);
    EXPECT_EQ(head.strong_hits, head.strong_rows);
  }
}

TEST(Audit, RecallIsTheShareOfTheDenseProbabilityOnPlannedKeys) {
  Case c;
  kernels::Plan plan;
  plan.entries.push_back({0, 0xf});
  plan.entries.push_back({4, 0xf, kernels::kAllHeads, true});
  plan.columns.push_back({100, 0b01});
  const std::vector<HeadAudit> heads = c.Audit(plan, 20);
  for (size_t g = 0; g < 2; ++g) {
    const std::vector<double> p = c.Probabilities(20, g);
    double kept = g == 0 ? p[100] : 0;
    for (size_t key = 0; key < p.size(); ++key) kept += key < 64 || key >= 256 ? p[key] : 0;
    EXPECT_NEAR(heads[g].recall(), kept, 1e-5);
    EXPECT_GT(heads[g].output_error(), 0.01);
  }
}

// A sink makes the dense row smaller, and the sparse one; what share of the keys' weights a plan keeps is as without it.
TEST(Audit, ASinkChangesTheRowsButNotTheShareThatIsKept) {
  Case c;
  kernels::Plan full;
  kernels::FullPlan(256, 44, 0, &full);
  kernels::Plan sparse;
  sparse.entries.push_back({4, 0xf, kernels::kAllHeads, true});
  const std::vector<HeadAudit> without = c.Audit(sparse, 20);
  c.queries.SetSinks({3.0f, 6.0f});
  for (const HeadAudit& head : c.Audit(full, 20)) {
    EXPECT_NEAR(head.recall(), 1.0, 1e-5);
    EXPECT_LT(head.output_error(), 1e-5);
  }
  const std::vector<HeadAudit> with = c.Audit(sparse, 20);
  for (size_t g = 0; g < 2; ++g) EXPECT_NEAR(with[g].recall(), without[g].recall(), 1e-5);
}

TEST(Audit, AStrongKeyOutsideThePlanIsAMiss) {
  Case c;
  // Row 20 of head 0 asks for key 130 with all its might.
  std::vector<float> key(64);
  kernels::LoadKey(c.layout, c.cache.pages()[2], 2, key.data());
  for (size_t d = 0; d < 64; ++d) c.queries.q()[20 * 128 + d] = key[d];
  kernels::Plan without;
  without.entries.push_back({4, 0xf, kernels::kAllHeads, true});
  const HeadAudit missed = c.Audit(without, 20)[0];
  EXPECT_EQ(missed.strong_rows, 1u);
  EXPECT_EQ(missed.strong_hits, 0u);
  kernels::Plan with = without;
  with.columns.push_back({130});
  const HeadAudit hit = c.Audit(with, 20)[0];
  EXPECT_EQ(hit.strong_hits, 1u);
}

TEST(Audit, AStrongKeyAmongPooledOnesIsAMissThoughItsMassIsKept) {
  Case c;
  std::vector<float> key(64);
  kernels::LoadKey(c.layout, c.cache.pages()[2], 2, key.data());
  for (size_t d = 0; d < 64; ++d) c.queries.q()[20 * 128 + d] = key[d];
  kernels::Plan plan;
  plan.entries.push_back({4, 0xf, kernels::kAllHeads, true});
  // Slots 64 to 79 of pairs: keys 128 to 159. What the means are is all the same here.
  plan.pooled.push_back({.page = 1, .quarters = 1, .shift = 1});
  plan.pooled_pages[1] = c.cache.pages();
  const HeadAudit pooled = c.Audit(plan, 20)[0];
  EXPECT_EQ(pooled.strong_rows, 1u);
  EXPECT_EQ(pooled.strong_hits, 0u);
  EXPECT_GT(pooled.recall(), 0.2);
}

TEST(Audit, ARowWhoseKeysWereReleasedIsSkippedAndCounted) {
  Case c;
  kernels::Plan plan;
  plan.entries.push_back({4, 0xf, kernels::kAllHeads, true});
  c.cache.DropPage(1);
  const std::vector<HeadAudit> heads = c.Audit(plan, 3);
  EXPECT_EQ(heads[0].rows, 0u);
  EXPECT_EQ(c.audit_scratch.skipped_rows, 1u);
}

TEST(Audit, SamplesOneRowInNForEveryLayerAndHead) {
  const AuditOptions options{.prefill_every = 64, .decode_every = 0};
  for (size_t layer = 0; layer < 5; ++layer) {
    for (size_t head = 0; head < 3; ++head) {
      uint64_t rows = 0;
      for (uint64_t position = 0; position < 6400; ++position) rows += AuditsRow(options, false, layer, head, position) ? 1 : 0;
      EXPECT_EQ(rows, 100u);
      EXPECT_FALSE(AuditsRow(options, true, layer, head, 64));
    }
  }
}

TEST(Audit, RowsFarBackAreRarerSoThatTheCostGrowsAsTheTextDoes) {
  const AuditOptions options{.prefill_every = 4, .rarer_from = 4096};
  uint64_t keys[4] = {};  // that audited rows look at, of each 4,096 positions
  for (uint64_t position = 0; position < 4 * 4096; ++position) {
    if (AuditsRow(options, false, 1, 1, position)) keys[position / 4096] += position + 1;
  }
  // (b + 1/2) / (b + 1) of the same number, where every fourth row would give 1, 3, 5 and 7 halves.
  for (const int b : {0, 1, 2, 3}) EXPECT_NEAR(static_cast<double>(keys[b]), 4194304.0 * (b + 0.5) / (b + 1), 3e4) << b;
}

}  // namespace
}  // namespace damask::model
