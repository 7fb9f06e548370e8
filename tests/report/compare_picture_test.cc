#include "report/compare_picture.h"

#include <regex>

#include <gtest/gtest.h>

namespace damask::report {
namespace {

struct Circle {
  double x, y;
};

std::vector<Circle> Circles(const std::string& svg) {
  std::vector<Circle> circles;
  const std::regex circle("<circle cx=\"([-0-9.]+)\" cy=\"([-0-9.]+)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), circle); it != std::sregex_iterator(); ++it) {
    circles.push_back({std::stod((*it)[1]), std::stod((*it)[2])});
  }
  return circles;
}

Plot TwoPoints() {
  Plot picture{.title = "lines", .axis = "accuracy", .share = true, .points = {}};
  picture.points.push_back({.series = 0, .label = "full", .density = 1, .value = 1, .low = 0.9, .high = 1});
  picture.points.push_back({.series = 1, .label = "window", .density = 0.1, .value = 0.25, .low = 0.1, .high = 0.4});
  return picture;
}

TEST(ComparePicture, DenserIsFurtherRightAndBetterIsHigher) {
  const std::vector<Circle> circles = Circles(DrawPicture(TwoPoints()));
  ASSERT_EQ(circles.size(), 2U);
  EXPECT_GT(circles[0].x, circles[1].x);
  EXPECT_LT(circles[0].y, circles[1].y);
}

TEST(ComparePicture, EqualRatiosOfDensityAreEqualDistances) {
  Plot picture = TwoPoints();
  picture.points[1].density = 0.04;
  picture.points.push_back({.series = 2, .label = "", .density = 0.2, .value = 0.5, .low = 0.5, .high = 0.5});
  const std::vector<Circle> circles = Circles(DrawPicture(picture));
  ASSERT_EQ(circles.size(), 3U);
  EXPECT_NEAR(circles[0].x - circles[2].x, circles[2].x - circles[1].x, 0.2);
}

TEST(ComparePicture, LabelsAreHarmless) {
  Plot picture = TwoPoints();
  picture.title = "<script>alert(1)</script>";
  picture.points[0].label = "a\" onload=\"x";
  const std::string svg = DrawPicture(picture);
  EXPECT_EQ(svg.find("<script>"), std::string::npos);
  EXPECT_EQ(svg.find("onload=\""), std::string::npos);
}

TEST(ComparePicture, EqualValuesAndNoneAtAllHaveAPlace) {
  Plot picture{.title = "perplexity", .axis = "perplexity", .share = false, .points = {}};
  EXPECT_EQ(DrawPicture(picture).find("nan"), std::string::npos);
  EXPECT_EQ(DrawPicture(picture).find("inf"), std::string::npos);
  picture.points.push_back({.series = 0, .label = "full", .density = 0, .value = 7, .low = 7, .high = 7});
  const std::string svg = DrawPicture(picture);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(Circles(svg).size(), 1U);
}

std::vector<std::string> Labels(const std::string& svg, const std::string& anchor) {
  std::vector<std::string> labels;
  const std::regex text("text-anchor=\"" + anchor + "\">([-0-9.e+]+)</text>");
  for (std::sregex_iterator it(svg.begin(), svg.end(), text); it != std::sregex_iterator(); ++it) labels.push_back((*it)[1]);
  return labels;
}

TEST(ComparePicture, LabelsAreRoundNumbers) {
  EXPECT_EQ(Labels(DrawPicture(TwoPoints()), "end"), (std::vector<std::string>{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  Plot seconds{.title = "lines", .axis = "seconds", .share = false, .from_zero = true, .points = {}};
  seconds.points.push_back({.series = 0, .label = "full", .density = 1, .value = 0.0266, .low = 0.0266, .high = 0.0266});
  seconds.points.push_back({.series = 1, .label = "a", .density = 0.25, .value = 0.0183, .low = 0.0183, .high = 0.0183});
  const std::string svg = DrawPicture(seconds);
  EXPECT_EQ(Labels(svg, "end"), (std::vector<std::string>{"0.00", "0.01", "0.02"}));
  EXPECT_EQ(Labels(svg, "middle"), (std::vector<std::string>{"0.2", "0.5", "1"}));  // the axis ends with one
  seconds.from_zero = false;
  for (double scale : {1e-4, 1.0, 33.0, 1e3, 1e7}) {
    seconds.points[0].value = seconds.points[0].high = seconds.points[0].low = 1.4 * scale;
    seconds.points[1].value = seconds.points[1].high = seconds.points[1].low = scale;
    const std::vector<std::string> labels = Labels(DrawPicture(seconds), "end");
    EXPECT_GE(labels.size(), 2u) << scale;
    for (const std::string& label : labels) EXPECT_LE(label.size(), 7u) << label;
  }
}

TEST(ComparePicture, NeighbouringSeriesDifferInColour) {
  for (size_t series = 0; series < 7; ++series) EXPECT_NE(SeriesColour(series), SeriesColour(series + 1));
}

}  // namespace
}  // namespace damask::report
