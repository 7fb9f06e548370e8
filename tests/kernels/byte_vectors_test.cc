#include "kernels/byte_vectors.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "kernels/byte_vectors_targets.h"

namespace damask::kernels {
namespace {

struct Case {
  Case(size_t width, size_t row_count, size_t vector_count, uint32_t seed)
      : dim(width), rows(row_count), numbers(vector_count * width), q(row_count * width), bounds(row_count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& x : numbers) x = normal(random);
    for (float& x : q) x = 3 * normal(random);
    for (float& x : bounds) x = normal(random);
    groups = CeilDiv(vector_count, kByteGroup);
    vectors.Resize(groups, dim);
    for (size_t i = 0; i < vector_count; ++i) vectors.Store(i, numbers.data() + i * dim);
  }
  ByteQueries Packed(ByteForm form, float scale = 0.125f) const {
    ByteQueries packed;
    packed.Pack(form, q.data(), dim, rows, dim, scale, ByteLayout::kRows);
    return packed;
  }
  // The score in double, and what rounding both sides may change of it.
  double Score(size_t row, size_t vector, double* error) const {
    const float* const x = q.data() + row * dim;
    const float* const y = numbers.data() + vector * dim;
    float largest_x = 0;
    float largest_y = 0;
    for (size_t d = 0; d < dim; ++d) {
      largest_x = std::max(largest_x, std::fabs(x[d]));
      largest_y = std::max(largest_y, std::fabs(y[d]));
    }
    const double x_step = double{largest_x} / 254;
    const double y_step = double{largest_y} / 254;
    double sum = 0;
    *error = 0;
    for (size_t d = 0; d < dim; ++d) {
      sum += double{x[d]} * double{y[d]};
      *error += std::fabs(double{x[d]}) * y_step + std::fabs(double{y[d]}) * x_step + x_step * y_step;
    }
    return sum;
  }

  size_t dim;
  size_t rows;
  size_t groups;
  std::vector<float> numbers;  // [vectors, dim]
  std::vector<float> q;        // [rows, dim]
  std::vector<float> bounds;   // [rows]
  ByteVectors vectors;
};

using ScoresFunction = std::function<void(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride)>;
using BestFunction = std::function<void(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best)>;

std::vector<float> ScoresOf(const Case& c, const ByteGroups& groups, ByteForm form, const ScoresFunction& function) {
  const size_t stride = groups.count * kByteGroup + 3;
  std::vector<float> scores(c.rows * stride, 7.0f);
  function(groups, c.Packed(form), scores.data(), stride);
  return scores;
}

std::vector<float> BestOf(const Case& c, const ByteGroups& groups, ByteForm form, const BestFunction& function) {
  std::vector<float> best(groups.count * kByteGroup);
  function(groups, c.Packed(form), c.bounds.data(), best.data());
  return best;
}

TEST(ByteVectors, ThePlainScoresAreWithinTheRoundingOfBothSides) {
  for (const size_t dim : {16u, 48u, 256u}) {
    const Case c(dim, 5, 40, static_cast<uint32_t>(dim));
    std::vector<float> scores(c.rows * 48);
    ByteScores(Target::kScalar, c.vectors.Groups(0, 3), c.Packed(ByteForm::kPairs, 1.0f), scores.data(), 48);
    for (size_t row = 0; row < c.rows; ++row) {
      for (size_t vector = 0; vector < 40; ++vector) {
        double error = 0;
        const double expected = c.Score(row, vector, &error);
        EXPECT_NEAR(scores[row * 48 + vector], expected, error * 1.0001);
      }
      for (size_t vector = 40; vector < 48; ++vector) EXPECT_EQ(scores[row * 48 + vector], 0.0f) << "no vector stands there";
    }
  }
}

TEST(ByteVectors, EveryTargetGivesTheSameBits) {
  for (const size_t dim : {16u, 32u, 64u, 80u, 256u}) {
    for (const size_t rows : {1u, 2u, 15u, 17u, 64u, 67u, 130u}) {
      const Case c(dim, rows, 150, static_cast<uint32_t>(dim * 1000 + rows));
      // All groups, and every third.
      for (const ByteGroups& groups : {c.vectors.Groups(0, 10), c.vectors.Groups(1, 3, 3), c.vectors.Groups(9, 1)}) {
        const auto scores_by = [&](Target target) {
          return ScoresOf(c, groups, VectorFormOf(target, dim, rows),
                          [&](auto&&... arguments) { ByteScores(target, arguments...); });
        };
        const auto best_by = [&](Target target) {
          return BestOf(c, groups, VectorFormOf(target, dim, rows),
                        [&](auto&&... arguments) { ByteBest(target, arguments...); });
        };
        const std::vector<float> scores = scores_by(Target::kScalar);
        const std::vector<float> best = best_by(Target::kScalar);
        for (const Target target : AllTargets()) {
          if (!TargetSupported(target)) continue;
          EXPECT_EQ(scores_by(target), scores) << TargetName(target) << dim << " " << rows;
          EXPECT_EQ(best_by(target), best) << TargetName(target) << dim << " " << rows;
        }
        if (dim <= 64 && TargetSupported(Target::kAvx512)) {
          EXPECT_EQ(ScoresOf(c, groups, ByteForm::kTiles, amx::VectorScoresEmulated), scores) << dim << " " << rows;
          EXPECT_EQ(BestOf(c, groups, ByteForm::kTiles, amx::VectorBestEmulated), best) << dim << " " << rows;
        }
      }
    }
  }
}

TEST(ByteVectors, TheBestIsTheLargestScoreAboveARowsBound) {
  const Case c(32, 20, 64, 5);
  const ByteGroups groups = c.vectors.Groups(0, 4);
  std::vector<float> scores(c.rows * 64);
  ByteScores(Target::kScalar, groups, c.Packed(ByteForm::kPairs), scores.data(), 64);
  std::vector<float> best(64);
  ByteBest(Target::kScalar, groups, c.Packed(ByteForm::kPairs), c.bounds.data(), best.data());
  for (size_t vector = 0; vector < 64; ++vector) {
    float expected = -std::numeric_limits<float>::infinity();
    for (size_t row = 0; row < c.rows; ++row) expected = std::max(expected, scores[row * 64 + vector] - c.bounds[row]);
    EXPECT_NEAR(best[vector], expected, 1e-5f);
  }
}

TEST(ByteVectors, AStoredVectorReplacesTheOneBeforeAndNoOther) {
  Case c(16, 1, 32, 1);
  std::vector<float> before(32);
  std::vector<float> after(32);
  ByteScores(BestTarget(), c.vectors.Groups(0, 2), c.Packed(ByteFormOf(BestTarget(), 16)), before.data(), 32);
  const std::vector<float> large(16, 1000.0f);
  c.vectors.Store(5, large.data());
  ByteScores(BestTarget(), c.vectors.Groups(0, 2), c.Packed(ByteFormOf(BestTarget(), 16)), after.data(), 32);
  for (size_t i = 0; i < 32; ++i) {
    if (i == 5) {
      EXPECT_NE(after[i], before[i]);
    } else {
      EXPECT_EQ(after[i], before[i]);
    }
  }
}

TEST(ByteVectors, ZerosAndWhatIsNoNumberGiveZeros) {
  Case c(16, 2, 16, 1);
  const std::vector<float> zeros(16, 0.0f);
  c.vectors.Store(3, zeros.data());
  std::vector<float> endless(16, 1.0f);
  endless[2] = std::numeric_limits<float>::infinity();
  c.vectors.Store(4, endless.data());
  std::fill(c.q.begin(), c.q.begin() + 16, std::numeric_limits<float>::quiet_NaN());
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const std::vector<float> scores = ScoresOf(c, c.vectors.Groups(0, 1), ByteFormOf(target, 16),
                                               [&](auto&&... arguments) { ByteScores(target, arguments...); });
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(scores[i], 0.0f) << TargetName(target);
    EXPECT_EQ(scores[19 + 3], 0.0f);
    EXPECT_EQ(scores[19 + 4], 0.0f);
    EXPECT_NE(scores[19 + 5], 0.0f);
  }
}

}  // namespace
}  // namespace damask::kernels
