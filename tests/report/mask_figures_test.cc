#include "report/mask_figures.h"

#include <gtest/gtest.h>

#include "masks/density.h"
#include "report/calibration_report.h"
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
  // What calibration tried last stays in the file.
  mask.heads[3].form = StaticForm::kWindow;
  mask.heads[3].window = 16;
  mask.heads[3].window_sinks = 4;
  mask.heads[3].mass_window = 0.125f;
  mask.heads[3].strong_key_hit = 0.5f;
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
    EXPECT_EQ(figures.heads[3].planned_density[l], 1.0);
    // Here content heads count with all keys.
    const double choice = (1 - figures.heads[2].planned_density[l]) / 4;
    const Totals totals = AddUp(figures, 0, 4);
    EXPECT_NEAR(totals.planned_density[l] + choice, masks::PlannedDensity(mask, length, masks::PlanMode::kBlocks), 1e-9);
  }
  EXPECT_LT(figures.heads[1].planned_density[1], 0.2);
}

TEST(MaskFigures, ContentHeadsCountWithAsManyKeysAsTheyMayChoose) {
  Mask mask = FourHeads();
  mask.parameters.content_blocks = 4;
  const double four = Measure(mask, {4096}).heads[2].planned_density[0];
  // The first quarter, four others, and from the two before the rows to the diagonal: 16 + 64 + 32 keys and half a block.
  EXPECT_NEAR(four, (16 + 64 + 32 + 32.5) / 2048.5, 0.004);
  mask.parameters.content_blocks = 1000;
  EXPECT_EQ(Measure(mask, {4096}).heads[2].planned_density[0], 1.0);
  EXPECT_EQ(Measure(mask, {64}).heads[2].planned_density[0], 1.0);
}

TEST(MaskFigures, ContentHeadsSeeTheMasksSinksAndWithoutDirectionsEverything) {
  Mask mask = FourHeads();
  mask.parameters.content_blocks = 4;
  mask.parameters.sink_keys = 500;
  const double many = Measure(mask, {4096}).heads[2].planned_density[0];
  EXPECT_NEAR(many, (500 + 64 + 32 + 32.5) / 2048.5, 0.05);
  EXPECT_GT(many, 0.2);
  mask.key_directions.clear();
  EXPECT_EQ(Measure(mask, {4096}).heads[2].planned_density[0], 1.0);
}

TEST(MaskFigures, NameWhatHeadsAreMadeOf) {
  const Mask mask = FourHeads();
  const MaskFigures figures = Measure(mask, {1000});
  const Json heads = InspectJson(mask, figures)["heads"];
  EXPECT_EQ(heads[1]["window"], 16);
  EXPECT_EQ(heads[1]["window_sinks"], 4);
  EXPECT_EQ(heads[0]["diagonal_intervals"], Json::parse("[[0,3],[7,8]]"));
  EXPECT_EQ(heads[0]["vertical_columns"], Json::parse("[1,5,9]"));
  for (const size_t head : {0u, 2u, 3u}) {  // of dense heads the file has what calibration tried last
    EXPECT_TRUE(heads[head]["window"].is_null());
    EXPECT_TRUE(heads[head]["window_sinks"].is_null());
  }
  EXPECT_NE(InspectText(mask, figures).find("windows in use   first 4 and last 16 keys\n"), std::string::npos)
      << InspectText(mask, figures);
  Mask two = mask;
  two.heads[0] = two.heads[1];
  two.heads[0].window = 100;
  EXPECT_NE(InspectText(two, Measure(two, {1000})).find("first 4 and last 16 to 100 keys\n"), std::string::npos);
}

TEST(MaskFigures, ContentAndDenseHeadsHaveNoFiguresOfAStaticForm) {
  const MaskFigures figures = Measure(FourHeads(), {1000});
  EXPECT_EQ(figures.heads[1].form, StaticForm::kWindow);
  for (const size_t head : {2u, 3u}) {
    EXPECT_FALSE(figures.heads[head].form.has_value());
    EXPECT_FALSE(figures.heads[head].mass.has_value());
    EXPECT_FALSE(figures.heads[head].strong_key_hit.has_value());
  }
}

TEST(MaskFigures, TotalsLeaveOutWhatWasNotMeasuredAndCountUnmaskedHeadsAsOne) {
  Mask mask = FourHeads();
  const MaskFigures figures = Measure(mask, {1000});
  const Totals all = AddUp(figures, 0, 4);
  EXPECT_EQ(all.treatments[0], 2u);
  EXPECT_EQ(all.treatments[1], 1u);
  EXPECT_EQ(all.treatments[2], 1u);
  EXPECT_EQ(all.windows, 1u);
  EXPECT_EQ(all.mass_mean, (0.75 + 0.5 + 1 + 1) / 4);
  EXPECT_EQ(all.mass_min, 0.5);
  EXPECT_EQ(all.effects_alone, 0.75);
  const Totals content = AddUp(figures, 2, 3);
  EXPECT_EQ(content.mass_mean, 1.0);
  EXPECT_EQ(content.mass_min, 1.0);
  mask.heads[1].mass_window = masks::kNotMeasured;
  EXPECT_EQ(AddUp(Measure(mask, {1000}), 0, 4).mass_mean, (0.75 + 1 + 1) / 3);
  const Totals unknown = AddUp(Measure(mask, {1000}), 1, 2);
  EXPECT_FALSE(unknown.mass_mean.has_value());
  EXPECT_FALSE(unknown.mass_min.has_value());
}

TEST(InspectJson, SaysOfAMaskWhatItsCalibrationSaid) {
  engine::CalibrateResult made;
  made.mask = FourHeads();
  const auto expect_the_same = [&] {
    const Json said = CalibrationJson(made);
    Json found = InspectJson(made.mask, Measure(made.mask, {1000}));
    for (const char* key : {"mass_mean", "mass_min", "effect_sum", "treatments"}) EXPECT_EQ(said[key], found[key]) << key;
    return found;
  };
  Json found = expect_the_same();
  EXPECT_EQ(found["mass_mean"], 0.8125);
  EXPECT_TRUE(found["effect_sum"].is_null());
  made.treatments = {.joint = {.prose = 0.01, .retrieval = 0.04}, .passes = 5};
  made.mask.parameters.joint_effect = 0.04;
  EXPECT_EQ(expect_the_same()["effect_sum"], 0.04);
  made.mask.heads[1].mass_window = masks::kNotMeasured;
  EXPECT_EQ(expect_the_same()["mass_min"], 0.75);
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
  EXPECT_EQ(object["heads"][1]["mass"], 0.5);
  for (const char* key : {"form", "mass", "strong_key_hit"}) {
    for (const size_t head : {2u, 3u}) EXPECT_TRUE(object["heads"][head][key].is_null()) << key;
  }
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
  EXPECT_NE(text.find("\n1             -       -        1      1      1.000"), std::string::npos) << text;
  EXPECT_NE(text.find("\nall           1       1        1      1      0.812"), std::string::npos) << text;
  EXPECT_NE(text.find("capture length   32 tokens"), std::string::npos) << text;
  EXPECT_NE(text.find("content heads: 1."), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace damask::report
