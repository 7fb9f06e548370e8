// A picture of policies in the plane of density and quality, as SVG.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace damask::report {

struct PicturePoint {
  size_t series = 0;   // chooses the colour
  std::string label;   // shown when the pointer rests on it
  double density = 1;  // above 0
  double value = 0;
  double low = 0;  // the whisker; both equal to value: none
  double high = 0;
};

struct Plot {
  std::string title;
  std::string axis;        // what `value` is
  bool share = false;      // value lies in [0, 1]
  bool from_zero = false;  // the axis begins at 0
  std::vector<PicturePoint> points;
};

// Colours that stay apart on light and on dark ground, also for those who see red and green alike; they repeat after eight.
// Source: Okabe and Ito, Color Universal Design (2008), darkened where white ground would swallow them.
std::string SeriesColour(size_t series);

// The mark of a series around (x, y): where colours repeat, the form is another one. `more` is put into the element (a title).
std::string SeriesMark(size_t series, double x, double y, const std::string& more);

// Density runs on a logarithmic axis. Points of one series are joined in the order of their density.
std::string DrawPicture(const Plot& picture);

}  // namespace damask::report
