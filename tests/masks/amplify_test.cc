#include "masks/amplify.h"

#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include "masks/map_files.h"
#include "tests/masks/mask_cases.h"

namespace damask::masks {
namespace {

// Two samples of three rows; sums and means are easy to see.
HeadStatistics Small() {
  HeadStatistics statistics(3);
  for (const float a : {0.25f, 0.75f}) {
    statistics.AddRow(0, std::vector<float>{1.0f});
    statistics.AddRow(1, std::vector<float>{a, 1.0f - a});
    statistics.AddRow(2, std::vector<float>{0.5f, 0.0f, 0.5f});
  }
  return statistics;
}

std::vector<double> Amplified(Transform transform, double lambda = 0.5, bool scale_rows = false) {
  return Amplify(Small(), {transform, lambda, 1e-10, scale_rows});
}

void ExpectNear(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance = 1e-9) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], tolerance) << "cell " << i;
}

TEST(Statistics, KeepSumAndCountOfRowsThatSamplesReach) {
  HeadStatistics statistics(3);
  statistics.AddRow(0, std::vector<float>{1.0f});
  statistics.AddRow(1, std::vector<float>{0.25f, 0.75f});
  statistics.AddRow(0, std::vector<float>{1.0f});
  statistics.AddRow(7, std::vector<float>(8, 0.125f));
  EXPECT_EQ(statistics.count(0), 2u);
  EXPECT_EQ(statistics.row(0)[0], 2.0);
  EXPECT_EQ(statistics.Mean(1, 1), 0.75 / (1.0 + 1e-10));
  EXPECT_EQ(statistics.reached_rows(), 2u);
  EXPECT_EQ(statistics.Check().message(), "no sample reaches position 2 of the capture length 3: the texts are too short");
  statistics.AddRow(2, std::vector<float>{0.5f, NAN, 0.5f});
  EXPECT_FALSE(statistics.Check().ok());
  statistics.Clear();
  EXPECT_EQ(statistics.reached_rows(), 0u);
}

TEST(Amplify, TransformsOfTheMeanAreTheFormulas) {
  // Means: 1; 0.5 0.5; 0.5 0 0.5.
  ExpectNear(Amplified(Transform::kAverage), {1, 0.5, 0.5, 0.5, 0, 0.5});
  const double smallest = (std::sqrt(1e-10) - 1) / 0.5;
  const double half = (std::sqrt(0.5) - 1) / 0.5 - smallest;
  ExpectNear(Amplified(Transform::kBoxCox), {0 - smallest, half, half, half, 0, half}, 1e-7);
  const double log_half = std::log(0.5) - std::log(1e-10);
  ExpectNear(Amplified(Transform::kBoxCox, 0.0), {-std::log(1e-10), log_half, log_half, log_half, 0, log_half}, 1e-8);
  const double yeo = (std::sqrt(1.5) - 1) / 0.5;
  ExpectNear(Amplified(Transform::kYeoJohnson), {(std::sqrt(2.0) - 1) / 0.5, yeo, yeo, yeo, 0, yeo});
  ExpectNear(Amplified(Transform::kYeoJohnson, 0.0),
             {std::log(2.0), std::log(1.5), std::log(1.5), std::log(1.5), 0, std::log(1.5)});
  // Average 0.5, deviation sqrt(2 * 0.25 / 6).
  const double z = 0.5 / std::sqrt(0.5 / 6);
  ExpectNear(Amplified(Transform::kZScore), {z, 0, 0, 0, -z, 0}, 1e-8);
  ExpectNear(Amplified(Transform::kMinMax), {1, 0.5, 0.5, 0.5, 0, 0.5});
}

TEST(Amplify, TransformsOfTheSumAreTheFormulas) {
  // Sums: 2; 1 1; 1 0 1.
  ExpectNear(Amplified(Transform::kSum), {2, 1, 1, 1, 0, 1});
  ExpectNear(Amplified(Transform::kLog), {std::log(3.0), std::log(2.0), std::log(2.0), std::log(2.0), 0, std::log(2.0)});
  ExpectNear(Amplified(Transform::kSqrt), {std::sqrt(2.0), 1, 1, 1, 0, 1});
  ExpectNear(Amplified(Transform::kArcsinh),
             {std::asinh(2.0), std::asinh(1.0), std::asinh(1.0), std::asinh(1.0), 0, std::asinh(1.0)});
}

TEST(Amplify, RowScalingMultipliesByTheRowsLength) {
  ExpectNear(Amplified(Transform::kAverage, 0.5, true), {1, 1, 1, 1.5, 0, 1.5});
  ExpectNear(Amplified(Transform::kSum, 0.5, true), {2, 2, 2, 3, 0, 3});
}

TEST(Amplify, FlatMapsGiveZerosNotNaN) {
  HeadStatistics flat(1);
  flat.AddRow(0, std::vector<float>{1.0f});
  for (const Transform transform : {Transform::kZScore, Transform::kMinMax, Transform::kBoxCox}) {
    EXPECT_EQ(Amplify(flat, {transform}), std::vector<double>{0.0}) << TransformName(transform);
  }
}

TEST(Amplify, BoxCoxWithLambdaOneHalfLiesBetweenZeroAndTwo) {
  for (const double value : Amplify(RandomStatistics(40, 5, 3), {})) {
    EXPECT_GE(value, 0.0);
    EXPECT_LE(value, 2.0);
  }
}

TEST(Amplify, NamesOfTransformsAreReadBack) {
  for (uint8_t i = 0; i < kNumTransforms; ++i) {
    const Result<Transform> transform = ParseTransform(TransformName(static_cast<Transform>(i)));
    ASSERT_TRUE(transform.ok());
    EXPECT_EQ(*transform, static_cast<Transform>(i));
  }
  EXPECT_EQ(ParseTransform("box\n").status().message(),
            "unknown transform 'box\\x0a'; the transforms are boxcox, average, sum, log, sqrt, yeo-johnson, z-score, min-max, "
            "arcsinh");
}

// The numbers of the published files; they are no probabilities, so ParseTextMap would refuse them.
std::vector<double> ReadNumbers(const std::string& name) {
  std::ifstream file(std::string(DAMASK_SOURCE_DIR) + "/tests/masks/data/" + name);
  std::vector<double> numbers;
  for (double number; file >> number;) numbers.push_back(number);
  return numbers;
}

TEST(PublishedMaps, SqrtLogAndArcsinhActOnTheSum) {
  const std::string file = "_layer_10_head_1.txt";
  const Result<AttentionMap> map = ReadMapFile(std::string(DAMASK_SOURCE_DIR) + "/tests/masks/data/average" + file);
  ASSERT_TRUE(map.ok()) << map.status().ToString();
  ASSERT_EQ(map->length, 32u);
  std::vector<uint64_t> counts(32, 22483);
  counts[0] = 22486;
  for (size_t row = 25; row < 32; ++row) counts[row] = 22482;
  HeadStatistics statistics(32);
  statistics.AddMean(map->cells, counts);
  struct Golden {
    Transform transform;
    std::string name;
    double residual;  // what rounding leaves, measured by the collector of the data
  };
  for (const Golden& golden : {Golden{Transform::kSqrt, "sqrt", 5.3e-3}, Golden{Transform::kLog, "log", 4.8e-4},
                               Golden{Transform::kArcsinh, "arcsinh", 4.8e-4}}) {
    const std::vector<double> expected = ReadNumbers(golden.name + file);
    const std::vector<double> actual = Amplify(statistics, {golden.transform});
    ASSERT_EQ(expected.size(), actual.size()) << golden.name;
    double worst = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(expected[i] - actual[i]));
    EXPECT_LT(worst, golden.residual) << golden.name;
  }
}

}  // namespace
}  // namespace damask::masks
