#include "masks/calibrate.h"

#include <cmath>

#include <gtest/gtest.h>

#include "masks/density.h"
#include "masks/extend.h"
#include "tests/masks/mask_cases.h"
#include "tests/temp_dir.h"

namespace damask::masks {
namespace {

// A head with a sink and a band of `width` diagonals, each row's probability spread evenly over what is kept.
HeadStatistics SinkAndBand(size_t length, size_t width) {
  HeadStatistics statistics(length);
  for (size_t row = 0; row < length; ++row) {
    std::vector<float> p(row + 1, 0.0f);
    size_t kept = 0;
    for (size_t key = 0; key <= row; ++key) kept += key == 0 || row - key < width ? 1 : 0;
    for (size_t key = 0; key <= row; ++key) p[key] = key == 0 || row - key < width ? 1.0f / static_cast<float>(kept) : 0.0f;
    statistics.AddRow(row, p);
  }
  return statistics;
}

Parameters Plain(uint32_t length) {
  Parameters parameters;
  parameters.capture_length = length;
  parameters.sink_keys = 1;
  return parameters;
}

TEST(Calibrate, FindsTheSinkAndTheBandThatAHeadHas) {
  const Result<HeadMask> head = CalibrateHead(SinkAndBand(128, 8), Plain(128));
  ASSERT_TRUE(head.ok()) << head.status().ToString();
  ASSERT_EQ(head->patterns.diagonals.size(), 1u);
  EXPECT_EQ(head->patterns.diagonals[0], (DiagonalInterval{0, 8, 1.0f}));
  ASSERT_EQ(head->patterns.verticals.size(), 1u);
  EXPECT_EQ(head->patterns.verticals[0], (Vertical{0, 1.0f}));
  EXPECT_NEAR(head->mass, 1.0f, 1e-6f);
  EXPECT_NEAR(head->mass_true_mask, 1.0f, 1e-6f);
  EXPECT_NEAR(head->mass_window, 1.0f, 1e-6f);
  EXPECT_TRUE(Keeps(*head, Plain(128), 5000, 0));
  EXPECT_TRUE(Keeps(*head, Plain(128), 5000, 4993));
  EXPECT_FALSE(Keeps(*head, Plain(128), 5000, 4992));
}

TEST(Calibrate, PercentileKeepsThatShareOfTheCausalCells) {
  Parameters parameters = Plain(60);
  parameters.tau_is_percentile = true;
  parameters.tau = 75.0;
  const Result<HeadMask> head = CalibrateHead(RandomStatistics(60, 4, 2), parameters);
  ASSERT_TRUE(head.ok());
  EXPECT_NEAR(static_cast<double>(head->true_mask.CountCells()) / TriangleCells(60), 0.25, 0.01);
}

TEST(Calibrate, MassIsThatOfTheExtendedMaskOnTheCapture) {
  const HeadStatistics statistics = RandomStatistics(90, 3, 5);
  Parameters parameters = Plain(90);
  parameters.sink_keys = 3;
  Result<HeadMask> head = CalibrateHead(statistics, parameters);
  ASSERT_TRUE(head.ok());
  // The rule itself, with the corner out of the way.
  Parameters beyond = parameters;
  beyond.capture_length = 0;
  double mass = 0.0;
  for (size_t row = 3; row < 90; ++row) {
    double all = 0.0;
    double kept = 0.0;
    for (size_t key = 0; key <= row; ++key) {
      all += statistics.Mean(row, key);
      kept += Keeps(*head, beyond, row, key) ? statistics.Mean(row, key) : 0.0;
    }
    mass += kept / all / 87.0;
  }
  EXPECT_NEAR(head->mass, mass, 1e-6);
}

TEST(Calibrate, ThePictureShowsTheSquareRootOfTheLargestMean) {
  const Result<HeadMask> head = CalibrateHead(SinkAndBand(64, 1), Plain(64));
  ASSERT_TRUE(head.ok());
  ASSERT_EQ(head->thumbnail_side, 32u);
  EXPECT_EQ(head->thumbnail[0], 255);
  EXPECT_EQ(head->thumbnail[31 * 32], 180) << "half of the mass on column 0: 255 * sqrt(0.5)";
  EXPECT_EQ(head->thumbnail[31 * 32 + 10], 0);
}

TEST(Calibrate, M07_TextsShorterThanTheCaptureLengthAreAnError) {
  HeadStatistics statistics(10);
  for (size_t row = 0; row < 7; ++row) statistics.AddRow(row, std::vector<float>(row + 1, 1.0f / static_cast<float>(row + 1)));
  const Result<HeadMask> head = CalibrateHead(statistics, Plain(10));
  EXPECT_EQ(head.status().message(), "no sample reaches position 7 of the capture length 10: the texts are too short");
  EXPECT_FALSE(CalibrateHead(statistics, Plain(11)).ok()) << "statistics of another length";
}

TEST(Calibrate, ALayersCaptureBecomesItsHeads) {
  LayerCapture capture(3, 40);
  Mask mask;
  mask.parameters = Plain(40);
  mask.fingerprint.layers = 2;
  mask.fingerprint.heads = 3;
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (size_t head = 0; head < 3; ++head) {
      for (size_t row = 0; row < 40; ++row) {
        capture.AddRow(head, row, std::vector<float>(row + 1, 1.0f / static_cast<float>(row + 1)));
      }
    }
    const Status status = CalibrateLayer(capture, &mask);
    ASSERT_TRUE(status.ok()) << status.ToString();
    capture.Clear();
  }
  EXPECT_TRUE(CheckMask(mask).ok()) << CheckMask(mask).ToString();
  const Status empty = CalibrateLayer(capture, &mask);
  EXPECT_EQ(empty.where(), "layer 2 head 0");
}

std::string MapText(size_t length, size_t width) {
  const HeadStatistics statistics = SinkAndBand(length, width);
  std::string text;
  for (size_t row = 0; row < length; ++row) {
    for (size_t key = 0; key <= row; ++key) text += std::to_string(statistics.Mean(row, key)) + (key == row ? "\n" : " ");
  }
  return text;
}

TEST(Calibrate, AFolderOfMapsBecomesAMask) {
  const test::TempDir dir;
  for (const char* name : {"layer_1_head_1.txt", "layer_1_head_2.txt", "layer_2_head_1.txt", "layer_2_head_2.txt"}) {
    dir.Write(name, MapText(64, name[6] == '1' ? 4 : 40));
  }
  dir.Write("notes.txt", "other files are passed over");
  Parameters parameters;
  parameters.sink_keys = 1;
  const Result<Mask> mask = CalibrateFromFolder(dir.path(), parameters);
  ASSERT_TRUE(mask.ok()) << mask.status().ToString();
  EXPECT_EQ(mask->fingerprint.layers, 2u);
  EXPECT_EQ(mask->fingerprint.heads, 2u);
  EXPECT_EQ(mask->parameters.capture_length, 64u);
  EXPECT_EQ(mask->head(0, 1).patterns.diagonals.front().end, 4u);
  EXPECT_EQ(mask->head(1, 0).patterns.diagonals.front().end, 33u) << "offsets with at least 32 cells";
  EXPECT_GT(PlannedDensity(*mask, 2048, PlanMode::kBlocks), 0.0);
}

TEST(Calibrate, MapsOfDifferentLengthsOrWithMissingHeadsAreRefused) {
  const test::TempDir dir;
  dir.Write("layer_0_head_0.txt", MapText(20, 4));
  dir.Write("layer_0_head_1.txt", MapText(21, 4));
  EXPECT_EQ(CalibrateFromFolder(dir.path(), {}).status().message(), "the map has 21 rows, those before it have 20");
  dir.Write("layer_1_head_1.txt", MapText(20, 4));
  EXPECT_EQ(CalibrateFromFolder(dir.path(), {}).status().message(), "layer 1 head 0 is missing among 2 layers of 2 heads");
}

TEST(Choose, HeadsThatHoldLessThanTheTargetBecomeDense) {
  Mask mask = RandomMask(1, 3, 100, 2);
  mask.heads[0].mass = 0.95f;
  mask.heads[1].mass = 0.5f;
  mask.heads[2].mass = 0.5f;
  mask.heads[2].mass_window = 0.99f;
  mask.heads[2].window = 32;
  ASSERT_TRUE(ChooseByMass(0.9, 4096, &mask).ok());
  EXPECT_EQ(mask.heads[0].treatment, Treatment::kStatic);
  EXPECT_EQ(mask.heads[0].form, StaticForm::kPatterns);
  EXPECT_EQ(mask.heads[1].treatment, Treatment::kDense);
  EXPECT_EQ(mask.heads[2].treatment, Treatment::kStatic);
  EXPECT_EQ(mask.heads[2].form, StaticForm::kWindow);
  EXPECT_TRUE(CheckMask(mask).ok());
  EXPECT_EQ(ChooseByMass(std::nan(""), 4096, &mask).message(), "the target recall is nan, expected 0 to 1");
  EXPECT_FALSE(ChooseByMass(1.5, 4096, &mask).ok());
}

TEST(Choose, ABudgetBuysTheHeadsThatHoldTheLeast) {
  Mask mask = RandomMask(1, 4, 64, 2);
  for (size_t i = 0; i < 4; ++i) mask.heads[i].mass = 0.9f - 0.1f * static_cast<float>(i);
  ASSERT_TRUE(ChooseByBudget(0.6, 4096, {}, &mask).ok());
  EXPECT_LE(PlannedDensity(mask, 4096, PlanMode::kBlocks), 0.6);
  EXPECT_EQ(mask.heads[0].treatment, Treatment::kStatic);
  EXPECT_EQ(mask.heads[3].treatment, Treatment::kDense);
  ASSERT_TRUE(ChooseByBudget(1.0, 4096, {}, &mask).ok());
  for (const HeadMask& head : mask.heads) EXPECT_EQ(head.treatment, Treatment::kDense);
  EXPECT_FALSE(ChooseByBudget(-1.0, 4096, {}, &mask).ok());
  EXPECT_NE(ChooseByBudget(1e-6, 4096, {}, &mask).message().find("the masks of all heads take"), std::string::npos);
  // A model whose windows hide most keys of every head has room for all of them.
  const std::vector<uint32_t> windows = {256};
  ASSERT_TRUE(ChooseByBudget(0.2, 4096, windows, &mask).ok());
  for (const HeadMask& head : mask.heads) EXPECT_EQ(head.treatment, Treatment::kDense);
}

}  // namespace
}  // namespace damask::masks
