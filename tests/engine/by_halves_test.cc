#include "engine/by_halves.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace damask::engine {
namespace {

// Items with weights, of which so many may be taken as weigh no more than the limit.
struct Scale {
  std::vector<double> weights;
  double limit;
  std::vector<bool> taken = std::vector<bool>(weights.size());
  uint64_t tries = 0;

  double Total() const {
    double total = 0;
    for (size_t i = 0; i < weights.size(); ++i) total += taken[i] ? weights[i] : 0;
    return total;
  }

  TakeItems Take() {
    return [this](size_t begin, size_t end) -> Result<bool> {
      ++tries;
      EXPECT_LT(begin, end);
      const double more = std::accumulate(weights.begin() + static_cast<std::ptrdiff_t>(begin),
                                          weights.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
      if (Total() + more > limit) return false;
      for (size_t i = begin; i < end; ++i) {
        EXPECT_FALSE(taken[i]) << "offered twice: " << i;
        taken[i] = true;
      }
      return true;
    };
  }
};

TEST(TakeByHalves, TakesAllAtOnceWhereAllMayStay) {
  Scale scale{.weights = std::vector<double>(9, 1.0), .limit = 9};
  ASSERT_TRUE(TakeByHalves(9, 100, scale.Take()).ok());
  EXPECT_EQ(scale.Total(), 9);
  EXPECT_EQ(scale.tries, 1U);
}

TEST(TakeByHalves, LeavesNothingThatCouldStillBeTaken) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    Scale scale{.weights = std::vector<double>(1 + random() % 40), .limit = static_cast<double>(random() % 60)};
    for (double& weight : scale.weights) weight = random() % 4 == 0 ? 20 : static_cast<double>(random() % 3);
    const size_t items = scale.weights.size();
    ASSERT_TRUE(TakeByHalves(items, UINT64_MAX, scale.Take()).ok());
    EXPECT_LE(scale.Total(), scale.limit);
    EXPECT_LE(scale.tries, 2 * items);
    for (size_t i = 0; i < items; ++i) {
      EXPECT_TRUE(scale.taken[i] || scale.Total() + scale.weights[i] > scale.limit) << "item " << i << " of " << items;
    }
  }
}

TEST(TakeByHalves, OneBadItemCostsFewTries) {
  for (size_t bad = 0; bad < 64; ++bad) {
    Scale scale{.weights = std::vector<double>(64, 0.0), .limit = 1};
    scale.weights[bad] = 2;
    ASSERT_TRUE(TakeByHalves(64, 100, scale.Take()).ok());
    EXPECT_FALSE(scale.taken[bad]);
    EXPECT_EQ(std::count(scale.taken.begin(), scale.taken.end(), true), 63);
    EXPECT_LE(scale.tries, 13U);
  }
}

TEST(TakeByHalves, StopsAtTheMostTries) {
  Scale scale{.weights = std::vector<double>(64, 1.0), .limit = 0};
  ASSERT_TRUE(TakeByHalves(64, 5, scale.Take()).ok());
  EXPECT_EQ(scale.tries, 5U);
  EXPECT_TRUE(TakeByHalves(64, 0, scale.Take()).ok());
  EXPECT_EQ(scale.tries, 5U);
}

TEST(TakeByHalves, OfNothingTriesNothing) {
  Scale scale{.weights = {}, .limit = 0};
  ASSERT_TRUE(TakeByHalves(0, 5, scale.Take()).ok());
  EXPECT_EQ(scale.tries, 0U);
}

TEST(TakeByHalves, AnErrorEndsIt) {
  const Status status = TakeByHalves(8, 100, [](size_t, size_t) -> Result<bool> { return Internal("no"); });
  EXPECT_EQ(status.code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace damask::engine
