#include "kernels/byte_scores.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/byte_scores_targets.h"
#include "kernels/scores.h"

namespace damask::kernels {
namespace {

constexpr ByteForm kForms[] = {ByteForm::kPairs, ByteForm::kBytes, ByteForm::kTiles};

using MaximaFunction = std::function<void(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest)>;

struct Case {
  Case(size_t width, size_t count, uint32_t seed) : dim(width), rows(count), keys(width * kQuarterTokens), q(count * width) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& x : keys) x = normal(random);
    for (float& x : q) x = 3 * normal(random);
    Store();
  }
  void Store() {
    offsets.resize(kQuarterTokens);
    for (const ByteForm form : kForms) {
      bytes_of(form).resize(dim * kQuarterTokens);
      StoreByteQuarter(form, keys.data(), dim, bytes_of(form).data(), offsets.data(), &scale);
    }
  }
  std::vector<int8_t>& bytes_of(ByteForm form) { return bytes[static_cast<size_t>(form)]; }
  ByteQuarter quarter(ByteForm form) const { return {bytes[static_cast<size_t>(form)].data(), offsets.data(), scale}; }
  // Of three quarters with these keys, which must all give the same.
  std::vector<float> MaximaOf(ByteForm form, float factor, const MaximaFunction& maxima) const {
    ByteQueries queries;
    queries.Pack(form, q.data(), dim, rows, dim, factor);
    const std::vector<ByteQuarter> quarters(3, quarter(form));
    std::vector<float> largest(queries.lanes() * 3, -1.0f);
    maxima(quarters, queries, largest.data());
    const auto end = largest.begin() + static_cast<std::ptrdiff_t>(queries.lanes());
    EXPECT_TRUE(std::equal(largest.begin(), end, end));
    EXPECT_TRUE(std::equal(largest.begin(), end, end + static_cast<std::ptrdiff_t>(queries.lanes())));
    largest.erase(end, largest.end());
    return largest;
  }
  std::vector<float> Maxima(Target target, float factor = 1.0f) const {
    return MaximaOf(ByteFormOf(target, dim), factor, [target](auto&&... arguments) { ByteMaxima(target, arguments...); });
  }
  // The largest score of a row in double, and what rounding both sides may change of it.
  double Largest(size_t row, double* error) const {
    double best = -std::numeric_limits<double>::infinity();
    *error = 0;
    float largest_q = 0;
    for (size_t d = 0; d < dim; ++d) largest_q = std::max(largest_q, std::fabs(q[row * dim + d]));
    for (size_t j = 0; j < kQuarterTokens; ++j) {
      double sum = 0;
      double bound = 0;
      for (size_t d = 0; d < dim; ++d) {
        const double key = keys[d * kQuarterTokens + j];
        const double query = q[row * dim + d];
        sum += key * query;
        const double key_step = static_cast<double>(scale) / 2;
        const double query_step = static_cast<double>(largest_q) / 254;
        bound += std::fabs(key) * query_step + std::fabs(query) * key_step + key_step * query_step;
      }
      best = std::max(best, sum);
      *error = std::max(*error, bound);
    }
    return best;
  }

  size_t dim;
  size_t rows;
  std::vector<float> keys;  // [dim][16]
  std::vector<float> q;     // [rows, dim]
  std::vector<int8_t> bytes[3];
  std::vector<int32_t> offsets;
  float scale = 0;
};

TEST(ByteScores, ThePlainBodyIsWithinTheRoundingOfBothSides) {
  for (const size_t dim : {16u, 32u, 80u, 256u}) {
    const Case c(dim, 20, static_cast<uint32_t>(dim));
    const std::vector<float> largest = c.Maxima(Target::kScalar);
    for (size_t row = 0; row < c.rows; ++row) {
      double error = 0;
      const double expected = c.Largest(row, &error);
      EXPECT_NEAR(largest[row], expected, error * 1.0001) << dim << " " << row;
      // Rounding errors are as good as independent: five of their standard deviations.
      EXPECT_NEAR(largest[row], expected, 0.17 * std::sqrt(static_cast<double>(dim))) << dim << " " << row;
    }
  }
}

TEST(ByteScores, EveryTargetGivesTheSameBits) {
  for (const size_t dim : {16u, 32u, 48u, 64u, 256u}) {
    for (const size_t rows : {1u, 2u, 15u, 16u, 17u, 63u, 64u, 65u, 100u}) {
      const Case c(dim, rows, static_cast<uint32_t>(dim * 1000 + rows));
      const std::vector<float> expected = c.Maxima(Target::kScalar, 0.125f);
      ASSERT_EQ(expected.size(), rows == 1 ? 1 : (rows + 15) / 16 * 16);
      for (size_t lane = rows; lane < expected.size(); ++lane) EXPECT_EQ(expected[lane], 0.0f);
      for (const Target target : AllTargets()) {
        if (!TargetSupported(target)) continue;
        EXPECT_EQ(c.Maxima(target, 0.125f), expected) << TargetName(target) << dim << " " << rows;
      }
      if (dim <= 64 && TargetSupported(Target::kAvx512)) {
        EXPECT_EQ(c.MaximaOf(ByteForm::kTiles, 0.125f, amx::TileByteMaximaEmulated), expected) << dim << " " << rows;
      }
    }
  }
}

TEST(ByteScores, LargestMagnitudesDoNotOverflow) {
  Case c(256, 16, 1);
  for (size_t i = 0; i < c.keys.size(); ++i) c.keys[i] = i % 2 == 0 ? -5.0f : 5.0f;
  std::fill(c.q.begin(), c.q.end(), 7.0f);
  c.Store();
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    for (const float x : c.Maxima(target)) EXPECT_NEAR(x, 256 * 35.0f, 0.01f) << TargetName(target);
  }
}

TEST(ByteScores, ZerosAndWhatIsNoNumberGiveZeros) {
  Case c(16, 16, 1);
  std::fill(c.q.begin(), c.q.begin() + 16, 0.0f);
  c.q[16] = std::numeric_limits<float>::infinity();
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const std::vector<float> largest = c.Maxima(target);
    EXPECT_EQ(largest[0], 0.0f);
    EXPECT_EQ(largest[1], 0.0f);
    EXPECT_NE(largest[2], 0.0f);
  }
  std::fill(c.keys.begin(), c.keys.end(), 0.0f);
  c.Store();
  EXPECT_EQ(c.scale, 0.0f);
  for (const float x : c.Maxima(BestTarget())) EXPECT_EQ(x, 0.0f);
}

TEST(ByteScores, LoadedKeysAreTheStoredOnesRounded) {
  const Case c(48, 1, 5);
  std::vector<float> loaded(c.keys.size());
  for (const ByteForm form : kForms) {
    LoadByteQuarter(form, c.quarter(form), c.dim, loaded.data());
    for (size_t i = 0; i < loaded.size(); ++i) EXPECT_NEAR(loaded[i], c.keys[i], c.scale * 0.5001f);
  }
}

TEST(ColumnShares, AreTheSoftmaxOfEachRowAndTheLargestOfEachColumn) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 4.0f);
  for (const size_t columns : {1u, 2u, 37u, 1500u}) {
    for (const size_t rows : {2u, 16u, 30u, 64u}) {
      const size_t lanes = (rows + 15) / 16 * 16;
      std::vector<float> scores(columns * lanes);
      for (float& x : scores) x = normal(random);
      if (columns > 1) scores[lanes] = -std::numeric_limits<float>::infinity();
      for (const Target target : AllTargets()) {
        if (!TargetSupported(target)) continue;
        std::vector<float> shares = scores;
        std::vector<float> best(columns, -1.0f);
        ColumnShares(target, shares.data(), columns, lanes, rows, best.data());
        std::vector<float> largest(columns, 0.0f);
        for (size_t lane = 0; lane < lanes; ++lane) {
          std::vector<float> row(columns);
          for (size_t c = 0; c < columns; ++c) row[c] = scores[c * lanes + lane];
          Softmax(Target::kScalar, row.data(), columns);
          for (size_t c = 0; c < columns; ++c) {
            const float expected = lane < rows ? row[c] : 0.0f;
            ASSERT_NEAR(shares[c * lanes + lane], expected, 1e-6f + 1e-4f * expected) << TargetName(target);
            largest[c] = std::max(largest[c], shares[c * lanes + lane]);
          }
        }
        EXPECT_EQ(best, largest) << TargetName(target);
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
