#include "policies/best.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace damask::policies {
namespace {

// What the order says, by sorting all.
std::vector<uint32_t> Sorted(const std::vector<float>& scores) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (std::isnan(scores[a]) || std::isnan(scores[b])) return !std::isnan(scores[a]) && std::isnan(scores[b]);
    return scores[a] > scores[b];
  });
  return order;
}

void ExpectBest(const std::vector<float>& scores, const char* what) {
  const std::vector<uint32_t> order = Sorted(scores);
  for (const size_t count :
       {size_t{0}, size_t{1}, size_t{10}, scores.size() / 9, scores.size() / 2, scores.size(), scores.size() + 3}) {
    std::vector<uint32_t> expected(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(count, scores.size())));
    std::vector<uint32_t> best = {7};
    BestIndices(scores, count, &best);
    EXPECT_EQ(best, expected) << what << ", " << count << " of " << scores.size();
    std::sort(expected.begin(), expected.end());
    BestIndicesAscending(scores, count, &best);
    EXPECT_EQ(best, expected) << what << ", " << count << " of " << scores.size() << ", ascending";
  }
}

TEST(BestIndices, PutsHigherScoresFirstThenLowerIndicesThenWhatIsNoNumber) {
  std::vector<uint32_t> best;
  BestIndices(std::vector<float>{1, 3, NAN, 3, -INFINITY, 2}, 10, &best);
  EXPECT_EQ(best, (std::vector<uint32_t>{1, 3, 5, 0, 4, 2}));
  BestIndices(std::vector<float>{1, 3, NAN, 3, -INFINITY, 2}, 2, &best);
  EXPECT_EQ(best, (std::vector<uint32_t>{1, 3}));
}

TEST(BestIndices, AreTheFirstOfASortedListWhateverItsLength) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const size_t n : {1, 15, 511, 512, 2000, 4099}) {
    std::vector<float> scores(n);
    for (float& score : scores) score = normal(random);
    ExpectBest(scores, "drawn");
    for (float& score : scores) score = std::round(score);  // many are equal, some -0
    ExpectBest(scores, "equal ones");
    for (float& score : scores) score = random() % 3 == 0 ? NAN : -1.0f;
    ExpectBest(scores, "few numbers");
  }
}

TEST(BestIndices, DoNotDependOnWhereTheLargeOnesStand) {
  constexpr size_t kScores = 4096;
  // A bound comes from a sample at even distances: of one list it sees the large ones only, of the other one none of them.
  std::vector<float> scores(kScores);
  for (const size_t from : {size_t{0}, size_t{1}}) {
    for (size_t i = 0; i < kScores; ++i) scores[i] = i % 32 == from ? static_cast<float>(i) : -static_cast<float>(i);
    ExpectBest(scores, "every 32nd");
  }
  for (size_t i = 0; i < kScores; ++i) scores[i] = static_cast<float>(i);
  ExpectBest(scores, "ascending");
  std::reverse(scores.begin(), scores.end());
  ExpectBest(scores, "descending");
}

}  // namespace
}  // namespace damask::policies
