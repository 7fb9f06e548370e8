#include "masks/match.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/masks/mask_cases.h"

namespace damask::masks {
namespace {

// A mask from a picture, one string per row.
TrueMask Picture(const std::vector<std::string>& rows) {
  std::vector<double> values;
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t key = 0; key <= row; ++key) values.push_back(rows[row][key] == '#' ? 1.0 : 0.0);
  }
  return ThresholdMask(values, rows.size(), 0.5);
}

TEST(TrueMask, HoldsTheCellsThatReachTheThreshold) {
  const std::vector<double> values = {0.5, 0.1, 0.5, 0.49, 0.6, 0.7};
  const TrueMask mask = ThresholdMask(values, 3, 0.5);
  EXPECT_EQ(mask.length(), 3u);
  EXPECT_TRUE(mask.Has(0, 0));
  EXPECT_FALSE(mask.Has(1, 0));
  EXPECT_TRUE(mask.Has(1, 1));
  EXPECT_FALSE(mask.Has(2, 0));
  EXPECT_TRUE(mask.Has(2, 1));
  EXPECT_EQ(mask.row(2).size(), 1u);
  EXPECT_EQ(mask.row(2)[0], (KeyRange{1, 3}));
  EXPECT_EQ(mask.CountCells(), 4u);
}

TEST(TrueMask, ThresholdsAgreeWithPlainComparisonOnRandomMaps) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const size_t length = 1 + random() % 50;
    std::vector<double> values(TriangleCells(length));
    for (double& value : values) value = static_cast<double>(random() % 10);
    const TrueMask mask = ThresholdMask(values, length, 4.0);
    for (size_t row = 0; row < length; ++row) {
      for (size_t key = 0; key <= row; ++key) ASSERT_EQ(mask.Has(row, key), values[TriangleIndex(row, key)] >= 4.0);
    }
  }
}

TEST(TrueMask, PercentileIsLinearBetweenNeighbours) {
  EXPECT_EQ(Percentile({3, 1, 2, 4}, 0.0), 1.0);
  EXPECT_EQ(Percentile({3, 1, 2, 4}, 100.0), 4.0);
  EXPECT_EQ(Percentile({3, 1, 2, 4}, 50.0), 2.5);
  EXPECT_EQ(Percentile({7}, 30.0), 7.0);
}

TEST(Match, CountsOfEveryDiagonalAndVerticalAgreeWithCountingThemOneByOne) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    const auto length = static_cast<uint32_t>(1 + random() % 60);
    const TrueMask mask = RandomHead(length, 0.1 + 0.03 * seed, &random).true_mask;
    const PatternCounts counts = CountPatterns(mask);
    for (uint32_t p = 0; p < length; ++p) {
      uint32_t diagonal = 0;
      uint32_t vertical = 0;
      for (uint32_t i = p; i < length; ++i) {
        diagonal += mask.Has(i, i - p) ? 1 : 0;
        vertical += mask.Has(i, p) ? 1 : 0;
      }
      ASSERT_EQ(counts.diagonals[p], diagonal) << "seed " << seed << " offset " << p;
      ASSERT_EQ(counts.verticals[p], vertical) << "seed " << seed << " column " << p;
    }
  }
}

const std::vector<std::string> kSixRows = {
    "#", "##", "##.", "####", "##.##", "#..###",
};

TEST(Match, KeepsPatternsWhoseShareReachesMu) {
  // Offset 0: 5 of 6 cells, offset 1: 5 of 5, offset 2: 3 of 4. Column 0: 6 of 6, column 1: 4 of 5, column 2: 1 of 4.
  const Patterns patterns = MatchPatterns(CountPatterns(Picture(kSixRows)), {0.8, 4, Match::kUnion});
  ASSERT_EQ(patterns.diagonals.size(), 1u);
  EXPECT_EQ(patterns.diagonals[0], (DiagonalInterval{0, 2, 5.0f / 6.0f}));
  ASSERT_EQ(patterns.verticals.size(), 2u);
  EXPECT_EQ(patterns.verticals[0], (Vertical{0, 1.0f}));
  EXPECT_EQ(patterns.verticals[1], (Vertical{1, 0.8f}));
}

TEST(Match, MinCellsLeavesOutShortPatternsAndOneIsThePaper) {
  // The last column has one cell and it is in the mask.
  const Patterns paper = MatchPatterns(CountPatterns(Picture(kSixRows)), {0.8, 1, Match::kUnion});
  EXPECT_EQ(paper.verticals.back().column, 5u);
  EXPECT_EQ(paper.diagonals.back().end, 6u) << "the longest offset, one cell in column 0";
  const Patterns none = MatchPatterns(CountPatterns(Picture(kSixRows)), {0.8, 7, Match::kUnion});
  EXPECT_TRUE(none.verticals.empty());
  ASSERT_EQ(none.diagonals.size(), 1u);
  EXPECT_EQ(none.diagonals[0].end, 1u) << "the main diagonal stays whatever its length";
}

TEST(Match, BestKeepsOnePatternAndTheDiagonal) {
  const Patterns patterns = MatchPatterns(CountPatterns(Picture(kSixRows)), {0.5, 1, Match::kBest});
  ASSERT_EQ(patterns.verticals.size(), 1u);
  EXPECT_EQ(patterns.verticals[0].column, 0u);
  ASSERT_EQ(patterns.diagonals.size(), 1u);
  EXPECT_EQ(patterns.diagonals[0].end, 1u);
}

TEST(Match, TheMainDiagonalIsKeptEvenWhereTheMaskIsEmpty) {
  const Patterns patterns = MatchPatterns(CountPatterns(Picture({".", "..", "..."})), {0.8, 1, Match::kUnion});
  ASSERT_EQ(patterns.diagonals.size(), 1u);
  EXPECT_EQ(patterns.diagonals[0], (DiagonalInterval{0, 1, 0.0f}));
  EXPECT_TRUE(patterns.verticals.empty());
}

TEST(Match, MassIsTheMeanShareOfARowOnKeptCells) {
  HeadStatistics statistics(3);
  statistics.AddRow(0, std::vector<float>{1.0f});
  statistics.AddRow(1, std::vector<float>{0.25f, 0.75f});
  statistics.AddRow(2, std::vector<float>{0.5f, 0.125f, 0.375f});
  const KeptCells diagonal = CellsOfPatterns({{{0, 1, 1.0f}}, {}}, 0, 3);
  EXPECT_NEAR(KeptMass(statistics, diagonal, 0), (1.0 + 0.75 + 0.375) / 3, 1e-12);
  const KeptCells with_sink = CellsOfPatterns({{{0, 1, 1.0f}}, {}}, 1, 3);
  EXPECT_NEAR(KeptMass(statistics, with_sink, 1), (1.0 + 0.875) / 2, 1e-12) << "row 0 is a sink only";
  EXPECT_NEAR(KeptMass(statistics, CellsOfWindow(0, 2, 3), 0), (1.0 + 1.0 + 0.5) / 3, 1e-12);
  EXPECT_NEAR(KeptMass(statistics, Picture({".", "..", ".#."}), 0), (1.0 + 0.75 + 0.5) / 3, 1e-12);
}

TEST(Match, EverythingKeptHoldsAllTheMass) {
  const HeadStatistics statistics = RandomStatistics(70, 2, 4);
  EXPECT_NEAR(KeptMass(statistics, CellsOfWindow(64, 70, 70), 64), 1.0, 1e-12);
  EXPECT_NEAR(KeptMass(statistics, CellsOfWindow(70, 1, 70), 70), 1.0, 1e-12);
}

}  // namespace
}  // namespace damask::masks
