#include "evals/statistics.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace damask::evals {
namespace {

void ExpectInterval(const Interval& interval, double low, double high) {
  EXPECT_NEAR(interval.low, low, 5e-5);
  EXPECT_NEAR(interval.high, high, 5e-5);
}

// Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
TEST(Wilson, GivesThePublishedIntervals) {
  ExpectInterval(WilsonInterval(81, 263), 0.2553, 0.3662);
  ExpectInterval(WilsonInterval(15, 148), 0.0624, 0.1605);
  ExpectInterval(WilsonInterval(0, 20), 0.0000, 0.1611);
  ExpectInterval(WilsonInterval(1, 29), 0.0061, 0.1718);
}

TEST(Wilson, IsSymmetricAndStaysWithinZeroAndOne) {
  const Interval all = WilsonInterval(20, 20);
  EXPECT_NEAR(all.low, 1 - 0.1611, 5e-5);
  EXPECT_EQ(all.high, 1);
}

TEST(Wilson, KnowsNothingWithoutSamples) {
  EXPECT_EQ(WilsonInterval(0, 0).low, 0);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

// A pair of samples for each cell: both right, only a, only b, both wrong.
struct Pairs {
  std::vector<double> a, b;
  Pairs(size_t both, size_t only_a, size_t only_b, size_t neither) {
    Add(both, 1, 1);
    Add(only_a, 1, 0);
    Add(only_b, 0, 1);
    Add(neither, 0, 0);
  }
  void Add(size_t count, double score_a, double score_b) {
    a.insert(a.end(), count, score_a);
    b.insert(b.end(), count, score_b);
  }
};

TEST(PairedScores, FollowAgrestiAndMin) {
  // Cells 8.5, 2.5, 6.5, 4.5 of 22: (6.5 - 2.5) / 22 +- 1.96 sqrt(9 - 16 / 22) / 22.
  const Pairs pairs(8, 2, 6, 4);
  const PairedDifference difference = PairedScores(pairs.a, pairs.b);
  EXPECT_DOUBLE_EQ(difference.mean, 0.2);
  ExpectInterval(difference.interval.value(), 0.181818 - 0.256268, 0.181818 + 0.256268);
}

TEST(PairedScores, EqualScoresLeaveRoomForADifference) {
  const Pairs pairs(20, 0, 0, 0);
  const PairedDifference difference = PairedScores(pairs.a, pairs.b);
  EXPECT_EQ(difference.mean, 0);
  ASSERT_TRUE(difference.interval.has_value());
  EXPECT_LT(difference.interval->low, 0);
  EXPECT_GT(difference.interval->high, 0);
  EXPECT_LT(difference.interval->high, 0.1);
}

TEST(PairedScores, TurnAroundWithTheirOrder) {
  const Pairs pairs(5, 7, 1, 9);
  const PairedDifference forth = PairedScores(pairs.a, pairs.b);
  const PairedDifference back = PairedScores(pairs.b, pairs.a);
  EXPECT_DOUBLE_EQ(forth.mean, -back.mean);
  EXPECT_DOUBLE_EQ(forth.interval.value().low, -back.interval.value().high);
}

TEST(PairedValues, AreStudentsIntervalOfTheDifferences) {
  const std::vector<double> a = {1, 2, 3, 4};
  const std::vector<double> b = {1.5, 2.5, 3.5, 5.5};
  // Differences 0.5, 0.5, 0.5, 1.5: mean 0.75, standard deviation 0.5, of the mean 0.25.
  const PairedDifference difference = PairedValues(a, b);
  EXPECT_DOUBLE_EQ(difference.mean, 0.75);
  ASSERT_TRUE(difference.interval.has_value());
  ExpectInterval(*difference.interval, 0.75 - 0.79560, 0.75 + 0.79560);  // 3.1824 of them
}

TEST(PairedValues, OfOneSampleHaveNoInterval) {
  const std::vector<double> a = {1};
  const std::vector<double> b = {3};
  EXPECT_EQ(PairedValues(a, b).mean, 2);
  EXPECT_FALSE(PairedValues(a, b).interval.has_value());
}

TEST(StudentQuantile, IsThatOfTheTables) {
  for (const auto& [degrees, quantile] :
       {std::pair(size_t{1}, 12.7062), {11, 2.2010}, {30, 2.0423}, {31, 2.0395}, {40, 2.0211}, {60, 2.0003}, {120, 1.9799}}) {
    EXPECT_NEAR(StudentQuantile(degrees), quantile, 1e-4) << degrees;
  }
  EXPECT_NEAR(StudentQuantile(100000000), 1.959964, 1e-6);
  for (size_t degrees = 1; degrees < 200; ++degrees) EXPECT_GT(StudentQuantile(degrees), StudentQuantile(degrees + 1));
}

}  // namespace
}  // namespace damask::evals
