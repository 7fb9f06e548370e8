// Every head_dim that attention.h allows, with groups of every kind: one head, a lane short of a register, all head bits.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/attention_cases.h"

namespace damask::kernels {
namespace {

constexpr size_t kContext = 150;
constexpr size_t kFirst = 128;
// The widest of the bodies' own (attention_test.cc): here a wrong lane is looked for, not the last bit.
constexpr float kTolerance = 2e-2f;

float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!std::isfinite(difference)) return std::numeric_limits<float>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

void CompareTargets(const AttentionShape& shape, size_t rows, const RandomCache& cache) {
  AttentionScratch scratch;
  Plan plan;
  FullPlan(kFirst, rows, 0, &plan);
  const RandomQueries queries(shape.head_dim, shape.group, kFirst, rows, 3);
  RandomQueries expected = queries;
  AttentionReference(shape, expected.block(), plan, cache.pages(), &scratch);
  for (const Target target : AllTargets()) {
    if (target == Target::kScalar || !TargetSupported(target)) continue;
    RandomQueries actual = queries;
    FindAttention(target, shape)(shape, actual.block(), plan, cache.pages(), &scratch);
    EXPECT_LE(LargestDifference(actual.out(), expected.out()), kTolerance)
        << TargetName(target) << " group " << shape.group << " rows " << rows << " kv " << KvTypeName(shape.kv);
  }
}

class HeadDim : public ::testing::TestWithParam<size_t> {};

TEST_P(HeadDim, AgreesWithTheReference) {
  const size_t head_dim = GetParam();
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  for (const KvType kv : {KvType::kBf16, KvType::kQ8}) {
    const RandomCache cache({head_dim, kv}, kContext, 5);
    for (const size_t group : {1, 2, 5, 7, 16, 31, 32}) {
      const AttentionShape shape{head_dim, group, scale, kv};
      for (const size_t rows : {1, 3}) CompareTargets(shape, rows, cache);
      if (group < 16) CompareTargets(shape, 22, cache);  // more lanes than a tile has; wide groups have as many in few rows
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EverySixteen, HeadDim, ::testing::Range(size_t{16}, size_t{257}, size_t{16}));

}  // namespace
}  // namespace damask::kernels
