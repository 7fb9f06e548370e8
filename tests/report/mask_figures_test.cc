#include "report/mask_figures.h"

#include <gtest/gtest.h>

#include "masks/density.h"
#include "tests/masks/mask_cases.h"

namespace damask::report {
namespace {

using masks::Mask;
using masks::StaticForm;
using masks::Treatment;

// Four heads in two layers, one of each kind.
Mask FourHeads() {
  Mask mask = masks::RandomMask(2, 2, 32, 7);
  mask.fingerprint.kv_heads = 1;
  mask.parameters.sink_keys = 4;
  mask.heads[0].treatment = Treatment::kStatic;
  mask.heads[0].patterns = {{{0, 3, 1.0f}, {7, 8, 0.9f}}, {{1, 1.0f}, {5, 1.0f}, {9, 1.0f}}};
  mask.heads[0].mass = 0.75f;
  mask.heads[0].effect = 0.25f;
  mask.heads[1].treatment = Treatment::kStatic;
  mask.heads[1].form = StaticForm::kWindow;
  mask.heads[1].window = 16;
  mask.heads[1].window_sinks = 4;
  mask.heads[1].mass = 0.875f;
  mask.heads[1].mass_window = 0.5f;
  mask.heads[2].treatment = Treatment::kContent;
  mask.heads[2].mass = masks::kNotMeasured;
  mask.heads[2].effect = 0.5f;
  mask.heads[3].treatment = Treatment::kDense;
  mask.heads[3].mass = 0.25f;
  masks::KeyDirections directions;
  directions.layer = 1;
  directions.rank = 8;
  directions.head_dim = 64;
  directions.values.assign(8 * 64, 0.5f);
  mask.key_directions = {directions};
  return mask;
}

MaskFigures Measure(const Mask& mask, const std::vector<uint64_t>& lengths) {
  ThreadPool pool(2);
  return MeasureMask(mask, lengths, &pool);
}

TEST(MaskFigures, CountPatternsAndTakeTheMassOfTheFormInUse) {
  const MaskFigures figures = Measure(FourHeads(), {1000});
  EXPECT_EQ(figures.heads[0].diagonals, 4u);
  EXPECT_EQ(figures.heads[0].verticals, 3u);
  EXPECT_EQ(figures.heads[0].mass, 0.75);
  EXPECT_EQ(figures.heads[1].mass, 0.5);
  EXPECT_FALSE(figures.heads[2].mass.has_value());
  EXPECT_FALSE(figures.heads[0].strong_key_hit.has_value());
}

TEST(MaskFigures, HeadsHaveTheRankOfTheirKvHead) {
  const MaskFigures figures = Measure(FourHeads(), {1000});
  EXPECT_FALSE(figures.heads[0].rank.has_value());
  EXPECT_FALSE(figures.heads[1].rank.has_value());
  EXPECT_EQ(figures.heads[2].rank, 8u);  // both heads of layer 1 share KV head 0
  EXPECT_EQ(figures.heads[3].rank, 8u);
  EXPECT_FALSE(figures.heads[3].rank_error.has_value());
}

TEST(MaskFigures, DensitiesAreThoseOfThePlans) {
  const Mask mask = FourHeads();
  const MaskFigures figures = Measure(mask, {64, 1000});
  for (size_t l = 0; l < 2; ++l) {
    const uint64_t length = figures.lengths[l];
    for (size_t h = 0; h < 2; ++h) {
      const masks::GroupMask alone(std::span(mask.heads).subspan(h, 1), mask.parameters);
      EXPECT_DOUBLE_EQ(figures.heads[h].planned_density[l], masks::PlannedDensity(alone, length, masks::PlanMode::kBlocks));
    }
    EXPECT_EQ(figures.heads[2].planned_density[l], 1.0);
    EXPECT_EQ(figures.heads[3].planned_density[l], 1.0);
    const Totals totals = AddUp(figures, 0, 4);
    EXPECT_NEAR(totals.planned_density[l], masks::PlannedDensity(mask, length, masks::PlanMode::kBlocks), 1e-9);
  }
  EXPECT_LT(figures.heads[1].planned_density[1], 0.2);
}

TEST(MaskFigures, TotalsLeaveOutWhatWasNotMeasured) {
  const MaskFigures figures = Measure(FourHeads(), {1000});
  const Totals all = AddUp(figures, 0, 4);
  EXPECT_EQ(all.treatments[0], 2u);
  EXPECT_EQ(all.treatments[1], 1u);
  EXPECT_EQ(all.treatments[2], 1u);
  EXPECT_EQ(all.windows, 1u);
  EXPECT_EQ(all.mass_mean, 0.5);
  EXPECT_EQ(all.mass_min, 0.25);
  EXPECT_EQ(all.effect_sum, 0.75);
  const Totals content = AddUp(figures, 2, 3);
  EXPECT_FALSE(content.mass_mean.has_value());
  EXPECT_FALSE(content.mass_min.has_value());
}

TEST(InspectJson, HasTheKeysOfTheContractAndNullForWhatIsUnknown) {
  const Mask mask = FourHeads();
  const Json object = InspectJson(mask, Measure(mask, {1000}));
  ASSERT_EQ(object["heads"].size(), 4u);
  for (const char* key :
       {"layer", "head", "treatment", "diagonals", "verticals", "mass", "strong_key_hit", "effect", "rank", "density"}) {
    for (const Json& head : object["heads"]) EXPECT_TRUE(head.contains(key)) << key;
  }
  EXPECT_EQ(object["heads"][3]["layer"], 1);
  EXPECT_EQ(object["heads"][3]["head"], 1);
  EXPECT_EQ(object["heads"][3]["treatment"], "dense");
  EXPECT_EQ(object["heads"][1]["form"], "window");
  EXPECT_TRUE(object["heads"][2]["mass"].is_null());
  EXPECT_EQ(object["heads"][2]["rank"], 8);
  EXPECT_EQ(object["density_length"], 1000);
  EXPECT_EQ(object["treatments"]["static"], 2);
  EXPECT_EQ(object["fingerprint"]["architecture"], "llama");
  EXPECT_EQ(object["fingerprint"]["tokenizer_hash"], "000000000000004d");
  EXPECT_EQ(object["parameters"]["capture_length"], 32);
  EXPECT_TRUE(object["parameters"]["max_kl"].is_null());
}

TEST(InspectText, HasALineForEachLayerAndOneForAll) {
  Mask mask = FourHeads();
  mask.fingerprint.model = "evil\x1b[2J";
  const std::string text = InspectText(mask, Measure(mask, {1000}));
  EXPECT_NE(text.find("\n0             1       1        -      -      0.625"), std::string::npos) << text;
  EXPECT_NE(text.find("\n1             -       -        1      1      0.250"), std::string::npos) << text;
  EXPECT_NE(text.find("\nall           1       1        1      1      0.500"), std::string::npos) << text;
  EXPECT_NE(text.find("capture length   32 tokens"), std::string::npos) << text;
  EXPECT_NE(text.find("content heads: 1."), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace damask::report
