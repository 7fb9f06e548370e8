#include "policies/pyramid_levels.h"

#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace damask::policies {
namespace {

constexpr LevelShares kDefault = {0.05, 0.15, 0.25, 0.5};

MovingEnds Moving(const LevelShares& shares, size_t blocks, size_t taken) {
  MovingEnds moving = {.taken = taken, .count = blocks - taken};
  for (size_t s = 0; s < kPyramidLevels; ++s) moving.ranks[s] = shares[s] * static_cast<double>(blocks);
  return moving;
}

TEST(MovingEnds, AreSharesOfTheRowLessWhatIsTaken) {
  EXPECT_EQ(Moving(kDefault, 1000, 0).At(1), (LevelEnds{50, 150, 250, 500}));
  EXPECT_EQ(Moving(kDefault, 1000, 60).At(1), (LevelEnds{0, 90, 190, 440}));
  EXPECT_EQ(Moving(kDefault, 30, 0).At(2), (LevelEnds{3, 9, 15, 30}));  // 2 * 0.15 * 30 is 9, not a little less
  EXPECT_EQ(Moving(kDefault, 7, 1).At(1), (LevelEnds{0, 0, 0, 2}));
  EXPECT_EQ(Moving(kDefault, 7, 1).At(0), (LevelEnds{0, 0, 0, 0}));
  const MovingEnds moving = Moving(kDefault, 40, 3);
  EXPECT_EQ(moving.At(moving.Most()), (LevelEnds{37, 37, 37, 37}));
}

TEST(EndsByEnergy, ABandEndsWithTheBlockThatReachesItsShare) {
  const std::vector<float> scores = {5, 3, 1, 1};
  EXPECT_EQ(EndsByEnergy({0.5, 0.8, 0.9, 1.0}, scores, 0, 10), (LevelEnds{1, 2, 3, 4}));
  EXPECT_EQ(EndsByEnergy({0.6, 0.6, 0.6, 0.6}, scores, 0, 10), (LevelEnds{2, 2, 2, 2}));
  EXPECT_EQ(EndsByEnergy({0.5, 0.8, 0.9, 1.0}, scores, 10, 20), (LevelEnds{0, 2, 2, 4}));
  EXPECT_EQ(EndsByEnergy({0, 0, 1, 1}, std::vector<float>{0, 0}, 3, 3), (LevelEnds{0, 0, 2, 2}));  // 1 is everything
}

TEST(LevelCosts, ALevelCostsItsShareOfTheBlockAndACapTheFinerLevels) {
  LevelCosts costs;
  costs.Reset(std::vector<uint8_t>(8, 3));
  EXPECT_EQ(costs.Cost({1, 2, 4, 8}), 128u + 64 + 2 * 32 + 4 * 16);
  costs.Reset(std::vector<uint8_t>{3, 0, 1, 3});
  EXPECT_EQ(costs.Cost({0, 0, 0, 4}), 16u + 128 + 64 + 16);
}

TEST(LevelCosts, FittedEndsFillTheRoomAndNeverPassIt) {
  std::mt19937 random(7);
  LevelCosts costs;
  for (size_t trial = 0; trial < 300; ++trial) {
    const size_t blocks = 2 + random() % 300;
    const size_t taken = random() % (blocks < 8 ? blocks : 8);
    std::vector<uint8_t> caps(blocks - taken);
    for (uint8_t& cap : caps) cap = trial % 3 == 0 ? 3 : static_cast<uint8_t>(random() % 4);
    costs.Reset(caps);
    const MovingEnds moving = Moving(kDefault, blocks, taken);
    const uint64_t all = costs.Cost(moving.At(moving.Most()));
    const uint64_t room = random() % (all + 100);
    const LevelEnds ends = costs.Fit(moving, moving.Most(), room);
    EXPECT_LE(costs.Cost(ends), room);
    EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
    EXPECT_LE(ends.back(), caps.size());
    // One block more or a level finer may miss by a block at most.
    EXPECT_TRUE(room >= all || costs.Cost(ends) + 128 > room) << "trial " << trial;
  }
}

TEST(LevelCosts, MoreRoomNeverCostsLess) {
  LevelCosts costs;
  costs.Reset(std::vector<uint8_t>(60, 3));
  const MovingEnds moving = Moving(kDefault, 64, 4);
  uint64_t before = 0;
  for (uint64_t room = 0; room <= 60 * 128; room += 8) {
    const uint64_t cost = costs.Cost(costs.Fit(moving, moving.Most(), room));
    EXPECT_GE(cost, before);
    before = cost;
  }
  EXPECT_EQ(before, 60u * 128);
}

}  // namespace
}  // namespace damask::policies
