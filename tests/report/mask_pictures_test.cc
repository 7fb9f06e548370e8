#include "report/mask_pictures.h"

#include <cmath>

#include <gtest/gtest.h>

#include "masks/extend.h"
#include "tests/masks/mask_cases.h"
#include "tests/report/read_png.h"

namespace damask::report {
namespace {

using masks::HeadMask;
using masks::Parameters;
using masks::Treatment;

Parameters Of(uint32_t capture_length) {
  Parameters parameters;
  parameters.capture_length = capture_length;
  parameters.sink_keys = 2;
  return parameters;
}

HeadMask SomeHead(uint32_t capture_length, double fill, uint32_t seed) {
  std::mt19937 random(seed);
  return masks::RandomHead(capture_length, fill, &random);
}

// What a pixel must be, counted pair by pair.
uint8_t ExpectedPixel(const HeadMask& head, const Parameters& parameters, uint64_t side, uint64_t y, uint64_t x) {
  const uint64_t length = kExtension * parameters.capture_length;
  double kept = 0;
  double causal = 0;
  for (uint64_t query = 0; query < length; ++query) {
    for (uint64_t key = 0; key <= query; ++key) {
      if (query * side / length != y || key * side / length != x) continue;
      causal += 1;
      kept += masks::Keeps(head, parameters, query, key) ? 1 : 0;
    }
  }
  if (causal == 0) return kFuture;
  if (kept == 0) return kNothing;
  const int levels = kStaticLast - kStaticFirst + 1;
  return static_cast<uint8_t>(kStaticFirst + std::ceil(std::sqrt(kept / causal) * levels) - 1);
}

TEST(ExtendedPicture, CountsTheKeptPairsOfEveryPixel) {
  for (const uint32_t capture : {4u, 10u, 17u}) {
    for (const size_t side : {1u, 7u, 16u, 1000u}) {
      const HeadMask head = SomeHead(capture, 0.3, capture);
      const Picture picture = DrawView(View::kExtended, head, Of(capture), side);
      ASSERT_EQ(picture.width, std::min<size_t>(side, kExtension * capture));
      ASSERT_EQ(picture.height, picture.width);
      for (size_t y = 0; y < picture.height; ++y) {
        for (size_t x = 0; x < picture.width; ++x) {
          ASSERT_EQ(picture.at(y, x), ExpectedPixel(head, Of(capture), picture.width, y, x))
              << "capture " << capture << " side " << side << " row " << y << " column " << x;
        }
      }
    }
  }
}

TEST(ExtendedPicture, OneKeptKeyAmongManyIsSeen) {
  HeadMask head = SomeHead(64, 0.0, 1);
  head.patterns.verticals = {{40, 1.0f}};
  const Picture picture = DrawView(View::kExtended, head, Of(64), 16);
  // 256 positions on 16 pixels: column 40 lies on pixel 2, one key of 16.
  EXPECT_GT(picture.at(10, 2), kNothing);
  EXPECT_EQ(picture.at(10, 3), kNothing);
}

TEST(ExtendedPicture, ContentHeadsAreHatchedAndDenseHeadsFilled) {
  HeadMask head = SomeHead(32, 0.3, 2);
  head.treatment = Treatment::kDense;
  const Picture dense = DrawView(View::kExtended, head, Of(32), 64);
  head.treatment = Treatment::kContent;
  const Picture content = DrawView(View::kExtended, head, Of(32), 64);
  size_t stripes = 0;
  for (size_t y = 0; y < 64; ++y) {
    for (size_t x = 0; x < 64; ++x) {
      ASSERT_EQ(dense.at(y, x), x > y ? kFuture : kDenseFill);
      ASSERT_TRUE(content.at(y, x) == (x > y ? kFuture : kContentStripe) || (x <= y && content.at(y, x) == kContentGap));
      stripes += content.at(y, x) == kContentStripe ? 1 : 0;
    }
  }
  EXPECT_GT(stripes, 64u * 64 / 8);
  EXPECT_LT(stripes, 64u * 64 * 3 / 8);
}

TEST(TrueMaskPicture, IsTheTrueMaskPairByPairWhereThereIsRoom) {
  const HeadMask head = SomeHead(20, 0.4, 3);
  const Picture picture = DrawView(View::kTrueMask, head, Of(20), 512);
  ASSERT_EQ(picture.width, 20u);
  for (size_t y = 0; y < 20; ++y) {
    for (size_t x = 0; x < 20; ++x) {
      const uint8_t causal = head.true_mask.Has(y, x) ? kTrueLast : kNothing;
      ASSERT_EQ(picture.at(y, x), x > y ? kFuture : causal);
    }
  }
}

// A thumbnail whose causal cells have these values, row by row.
HeadMask WithThumbnail(uint32_t side, std::vector<uint8_t> cells) {
  HeadMask head = SomeHead(8, 0.2, 4);
  head.thumbnail_side = side;
  head.thumbnail = std::move(cells);
  return head;
}

TEST(MeanPicture, IsTheThumbnailInFifteenLevels) {
  const Picture picture = DrawView(View::kMean, WithThumbnail(3, {0, 99, 99, 17, 16, 99, 255, 254, 128}), Of(8), 64);
  const std::vector<uint8_t> expected = {1, kFuture, kFuture, 2, 1, kFuture, 15, 15, 8};
  EXPECT_EQ(picture.pixels, expected);
}

TEST(AmplifiedPicture, AppliesTheMasksOwnTransformToTheMeans) {
  const HeadMask head = WithThumbnail(2, {255, 0, 51, 204});  // means 1, 0.04 and 0.64
  Parameters parameters = Of(8);
  parameters.amplify.transform = masks::Transform::kAverage;
  // (0.64 - 0.04) / 0.96 = 0.625 of the way: level 1 + floor(9.375).
  EXPECT_EQ(DrawView(View::kAmplified, head, parameters, 64).pixels, (std::vector<uint8_t>{15, kFuture, 1, 10}));
  parameters.amplify.transform = masks::Transform::kLog;
  parameters.samples = 100;
  // ln(1 + 100 m): (ln 65 - ln 5) / (ln 101 - ln 5) = 0.853.
  EXPECT_EQ(DrawView(View::kAmplified, head, parameters, 64).pixels, (std::vector<uint8_t>{15, kFuture, 1, 13}));
  parameters.amplify.transform = masks::Transform::kAverage;
  parameters.amplify.scale_rows = true;
  // Times the length of the row: 1, 0.08 and 1.28; (1 - 0.08) / 1.2 = 0.767.
  EXPECT_EQ(DrawView(View::kAmplified, head, parameters, 64).pixels, (std::vector<uint8_t>{12, kFuture, 1, 15}));
}

TEST(MapPictures, OfEqualOrMissingMeansAreDark) {
  const Picture equal = DrawView(View::kAmplified, WithThumbnail(2, {7, 0, 7, 7}), Of(8), 64);
  EXPECT_EQ(equal.pixels, (std::vector<uint8_t>{kNothing, kFuture, kNothing, kNothing}));
  EXPECT_EQ(DrawView(View::kMean, SomeHead(8, 0.2, 5), Of(8), 64).pixels, (std::vector<uint8_t>{kNothing}));
  EXPECT_EQ(DrawView(View::kAmplified, SomeHead(8, 0.2, 5), Of(8), 64).pixels, (std::vector<uint8_t>{kNothing}));
}

TEST(HeadPicture, HasTheFourViewsSideBySideInTheirOwnColours) {
  HeadMask head = WithThumbnail(2, {255, 0, 0, 255});
  head.treatment = Treatment::kDense;
  const HeadPicture drawn = DrawHead(head, Of(8), 512);
  const Result<std::string> png = EncodePng(drawn.picture, drawn.palette);
  ASSERT_TRUE(png.ok()) << png.status().ToString();
  const test::ReadPicture read = test::ReadPng(*png);
  ASSERT_EQ(read.height, 512u);
  ASSERT_EQ(read.width, 4u * 512 + 3 * 16);
  EXPECT_EQ(read.at(0, 0), MapPalette()[kMapLevels]);
  EXPECT_EQ(read.at(300, 0), MapPalette()[kNothing]);
  EXPECT_EQ(read.at(300, 300), MapPalette()[kMapLevels]);
  EXPECT_EQ(read.at(0, 300).alpha, 0);
  EXPECT_EQ(read.at(300, 512).alpha, 0);  // a gap
  const size_t third = 2 * (512 + 16);
  EXPECT_EQ(read.at(511, third + 511), head.true_mask.Has(7, 7) ? MaskPalette()[kTrueLast] : MaskPalette()[kNothing]);
  EXPECT_EQ(read.at(511, read.width - 1), MaskPalette()[kDenseFill]);
}

}  // namespace
}  // namespace damask::report
