#include "report/mask_diff.h"

#include <gtest/gtest.h>

#include "tests/masks/mask_cases.h"

namespace damask::report {
namespace {

using masks::Mask;
using masks::StaticForm;
using masks::Treatment;

Mask Windows(uint32_t window) {
  Mask mask = masks::RandomMask(1, 2, 32, 7);
  for (masks::HeadMask& head : mask.heads) {
    head.treatment = Treatment::kStatic;
    head.form = StaticForm::kWindow;
    head.window = window;
    head.window_sinks = 0;
  }
  return mask;
}

MaskDiff Diff(const Mask& before, const Mask& after, uint64_t length) {
  ThreadPool pool(2);
  const auto diff = DiffMasks(before, after, length, &pool);
  EXPECT_TRUE(diff.ok()) << diff.status().ToString();
  return diff.ok() ? *diff : MaskDiff();
}

TEST(MaskDiff, OfOneMaskNothingDiffers) {
  const MaskDiff diff = Diff(Windows(16), Windows(16), 500);
  EXPECT_EQ(diff.changed(), 0u);
  EXPECT_EQ(diff.overlap, 1.0);
  EXPECT_EQ(diff.density_before, diff.density_after);
}

TEST(MaskDiff, OfTwoWindowsTheNarrowIsTheIntersection) {
  const MaskDiff diff = Diff(Windows(10), Windows(40), 64 * 50);
  EXPECT_EQ(diff.changed(), 0u);
  EXPECT_EQ(diff.static_in_both(), 2u);
  EXPECT_NEAR(*diff.overlap, 10.0 / 40, 0.01);
  EXPECT_LT(diff.density_before, diff.density_after);
}

TEST(MaskDiff, TreatmentsThatChangedAreCountedAndHaveNoOverlap) {
  Mask after = Windows(10);
  after.heads[1].treatment = Treatment::kDense;
  const MaskDiff diff = Diff(Windows(10), after, 500);
  EXPECT_EQ(diff.changed(), 1u);
  EXPECT_EQ(diff.static_in_both(), 1u);
  EXPECT_FALSE(diff.heads[1].overlap.has_value());
  const Json json = MaskDiffJson(diff);
  EXPECT_EQ(json["heads"][1]["before"], "window");
  EXPECT_EQ(json["heads"][1]["after"], "dense");
  EXPECT_TRUE(json["heads"][1]["overlap"].is_null());
  EXPECT_NE(MaskDiffText(diff).find("1 of 2 heads changed; 1 are static in both"), std::string::npos) << MaskDiffText(diff);
}

TEST(MaskDiff, MasksOfOtherShapesAreRefused) {
  ThreadPool pool(1);
  EXPECT_EQ(DiffMasks(Windows(10), masks::RandomMask(2, 2, 32, 7), 500, &pool).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace damask::report
