#include "report/png.h"

#include <gtest/gtest.h>

#include "tests/report/read_png.h"

namespace damask::report {
namespace {

// Every colour different, one of them transparent.
std::vector<Colour> ManyColours(size_t count) {
  std::vector<Colour> palette(count);
  for (size_t i = 0; i < count; ++i) palette[i] = {static_cast<uint8_t>(i), static_cast<uint8_t>(255 - i), 7, 255};
  palette[0].alpha = 0;
  return palette;
}

void ExpectReadBack(size_t width, size_t height, size_t colours) {
  const std::vector<Colour> palette = ManyColours(colours);
  Picture picture(width, height);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 7 % colours);
  const Result<std::string> png = EncodePng(picture, palette);
  ASSERT_TRUE(png.ok()) << png.status().ToString();
  const test::ReadPicture read = test::ReadPng(*png);
  ASSERT_EQ(read.width, width);
  ASSERT_EQ(read.height, height);
  for (size_t i = 0; i < picture.pixels.size(); ++i) {
    const Colour expected = palette[picture.pixels[i]];
    ASSERT_EQ(read.pixels[i].alpha, expected.alpha) << i;
    if (expected.alpha == 255) {
      ASSERT_EQ(read.pixels[i], expected) << i;
    }
  }
}

TEST(Png, GivesBackEveryPixelForAnyNumberOfColours) {
  for (const size_t colours : {1u, 2u, 3u, 16u, 17u, 256u}) ExpectReadBack(5, 60, colours);
  ExpectReadBack(1, 1, 2);
  ExpectReadBack(2096, 3, 32);
}

TEST(Png, RefusesPixelsOutsideThePalette) {
  Picture picture(2, 2);
  picture.at(1, 1) = 3;
  EXPECT_EQ(EncodePng(picture, ManyColours(3)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(EncodePng(picture, ManyColours(4)).ok());
  EXPECT_EQ(EncodePng(Picture(), ManyColours(3)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(EncodePng(picture, {}).status().code(), StatusCode::kInvalidArgument);
}

TEST(Place, RepeatsPixelsWithoutTouchingTheRest) {
  Picture small(2, 2);
  small.pixels = {1, 2, 3, 4};
  Picture canvas(6, 5, 9);
  Place(small, 1, 2, 4, 4, &canvas);
  const std::vector<uint8_t> expected = {9, 9, 9, 9, 9, 9,  //
                                         9, 9, 1, 1, 2, 2,  //
                                         9, 9, 1, 1, 2, 2,  //
                                         9, 9, 3, 3, 4, 4,  //
                                         9, 9, 3, 3, 4, 4};
  EXPECT_EQ(canvas.pixels, expected);
}

}  // namespace
}  // namespace damask::report
