#include "report/compare_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "report/html.h"

namespace damask::report {
namespace {

constexpr double kWidth = 420;
constexpr double kHeight = 280;
constexpr double kLeft = 64;
constexpr double kRight = 14;
constexpr double kTop = 28;
constexpr double kBottom = 44;
constexpr double kMostValueSteps = 5;
constexpr double kDensityLabels[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0};

// 1, 2 or 5 times a power of ten, so that at most kMostValueSteps make up the range.
double RoundStep(double range) {
  const double least = range / kMostValueSteps;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// The largest label up to the least density, so that the axis ends with one.
double LeastShown(double least_density) {
  double shown = std::max(least_density, 1e-6);
  for (const double label : kDensityLabels) {
    if (label <= least_density && label <= 0.5) shown = label;
  }
  return shown;
}

// Turns figures into places.
class Frame {
 public:
  explicit Frame(const Plot& picture) {
    double least = 1;
    low_ = picture.share ? 0 : INFINITY;
    high_ = picture.share ? 1 : -INFINITY;
    for (const PicturePoint& point : picture.points) {
      least = std::min(least, point.density);
      if (picture.share) continue;
      low_ = std::min(low_, point.low);
      high_ = std::max(high_, point.high);
    }
    if (!picture.share) Widen();
    if (picture.from_zero) low_ = 0;
    step_ = RoundStep(high_ - low_);
    decades_ = -std::log10(LeastShown(least)) * 1.05;
  }

  double x(double density) const {
    return kWidth - kRight + std::log10(std::max(density, 1e-6)) / decades_ * (kWidth - kLeft - kRight);
  }
  double y(double value) const { return kTop + (high_ - value) / (high_ - low_) * (kHeight - kTop - kBottom); }
  // Values with a line and a label, upwards.
  std::vector<double> ticks() const {
    std::vector<double> values;
    for (double i = std::ceil(low_ / step_ - 1e-9); i * step_ <= high_ + step_ * 1e-9; ++i) values.push_back(i * step_ + 0.0);
    return values;
  }
  // As many digits as the steps need; short in any case.
  std::string Label(double value) const {
    const double digits = std::max(0.0, -std::floor(std::log10(step_) + 1e-9));
    if (digits > 4 || std::abs(value) >= 1e5) return fmt::format("{:.2g}", value);
    return fmt::format("{:.{}f}", value, static_cast<int>(digits));
  }
  bool shows(double density) const { return x(density) >= kLeft - 0.5; }

 private:
  // A tenth more above and below; something where all values are equal.
  void Widen() {
    if (low_ > high_) low_ = high_ = 0;
    const double margin = std::max((high_ - low_) * 0.1, std::max(1e-3, std::abs(high_) * 0.01));
    low_ -= margin;
    high_ += margin;
  }

  double low_ = 0;
  double high_ = 1;
  double step_ = 0.2;
  double decades_ = 1;
};

std::string Line(double x1, double y1, double x2, double y2, const std::string& more) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, more);
}

std::string Text(double x, double y, const std::string& anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, EscapeHtml(text));
}

std::string DrawAxes(const Plot& picture, const Frame& frame) {
  std::string svg;
  for (const double value : frame.ticks()) {
    svg += Line(kLeft, frame.y(value), kWidth - kRight, frame.y(value), "class=\"grid\"");
    svg += Text(kLeft - 6, frame.y(value) + 4, "end", frame.Label(value));
  }
  for (const double density : kDensityLabels) {
    if (!frame.shows(density)) continue;
    svg += Line(frame.x(density), kTop, frame.x(density), kHeight - kBottom, "class=\"grid\"");
    svg += Text(frame.x(density), kHeight - kBottom + 16, "middle", fmt::format("{:g}", density));
  }
  svg += Text((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", "density");
  svg += fmt::format("<text transform=\"translate(13 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                     (kTop + kHeight - kBottom) / 2, EscapeHtml(picture.axis));
  return svg;
}

std::string DrawPoint(const PicturePoint& point, const Frame& frame) {
  const std::string colour = SeriesColour(point.series);
  std::string svg = "<g>";
  if (point.low != point.high) {
    svg += Line(frame.x(point.density), frame.y(point.low), frame.x(point.density), frame.y(point.high),
                fmt::format("stroke=\"{}\" stroke-opacity=\"0.6\"", colour));
  }
  svg += SeriesMark(point.series, frame.x(point.density), frame.y(point.value),
                    fmt::format("<title>{}</title>", EscapeHtml(point.label)));
  svg += "</g>\n";
  return svg;
}

std::string DrawSeries(const Plot& picture, const Frame& frame) {
  std::map<size_t, std::vector<const PicturePoint*>> series;
  for (const PicturePoint& point : picture.points) series[point.series].push_back(&point);
  std::string svg;
  for (auto& [index, points] : series) {
    std::stable_sort(points.begin(), points.end(),
                     [](const PicturePoint* a, const PicturePoint* b) { return a->density < b->density; });
    std::string path;
    for (const PicturePoint* point : points)
      path += fmt::format("{:.1f},{:.1f} ", frame.x(point->density), frame.y(point->value));
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-opacity=\"0.5\"/>\n", path,
                       SeriesColour(index));
  }
  for (const PicturePoint& point : picture.points) svg += DrawPoint(point, frame);
  return svg;
}

}  // namespace

std::string SeriesColour(size_t series) {
  static constexpr std::array<const char*, 8> kColours = {"#7f7f7f", "#0072b2", "#d55e00", "#009e73",
                                                          "#cc79a7", "#b8860b", "#3a9bdc", "#8b5cf6"};
  return kColours[series % kColours.size()];
}

std::string SeriesMark(size_t series, double x, double y, const std::string& more) {
  // Circle, square, triangle, diamond: corners as seen from the middle.
  static constexpr std::array<std::array<std::array<double, 2>, 4>, 3> kCorners = {
      {{{{-4, -4}, {4, -4}, {4, 4}, {-4, 4}}},
       {{{0, -5}, {5, 4}, {-5, 4}, {-5, 4}}},
       {{{0, -5.5}, {5.5, 0}, {0, 5.5}, {-5.5, 0}}}}};
  const std::string colour = SeriesColour(series);
  const size_t form = series / 8 % 4;
  if (form == 0) {
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\">{}</circle>", x, y, colour, more);
  }
  std::string points;
  for (const auto& [dx, dy] : kCorners[form - 1]) points += fmt::format("{:.1f},{:.1f} ", x + dx, y + dy);
  return fmt::format("<polygon points=\"{}\" fill=\"{}\">{}</polygon>", points, colour, more);
}

std::string DrawPicture(const Plot& picture) {
  const Frame frame(picture);
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", kWidth, kHeight,
                     EscapeHtml(picture.title)) +
         fmt::format("<text x=\"{:.1f}\" y=\"16\" text-anchor=\"start\" class=\"title\">{}</text>\n", kLeft,
                     EscapeHtml(picture.title)) +
         DrawAxes(picture, frame) + DrawSeries(picture, frame) + "</svg>\n";
}

}  // namespace damask::report
