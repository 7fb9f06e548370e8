#include "report/mask_pictures.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "masks/kept_keys.h"
#include "masks/statistics.h"

namespace damask::report {
namespace {

using masks::HeadMask;
using masks::KeySpan;
using masks::Parameters;

constexpr size_t kPaletteSize = 16;
using Palette = std::array<Colour, kPaletteSize>;

constexpr Colour kPlate = {34, 46, 74};
constexpr Colour kStatic = {120, 205, 250};
constexpr Colour kTrue = {165, 232, 190};

uint8_t Mix(uint8_t a, uint8_t b, double t) { return static_cast<uint8_t>(std::lround(a + (b - a) * t)); }

Colour Mix(const Colour& a, const Colour& b, double t) {
  return {Mix(a.red, b.red, t), Mix(a.green, b.green, t), Mix(a.blue, b.blue, t)};
}

// From the dark plate over violet and orange to a pale yellow: brightness grows all the way, so it reads without hue too.
Palette MakeMapPalette() {
  constexpr std::array<Colour, 5> kStops = {kPlate, {120, 52, 159}, {204, 71, 95}, {250, 160, 50}, {255, 250, 200}};
  Palette palette;
  palette[kFuture] = {0, 0, 0, 0};
  for (uint8_t level = 1; level <= kMapLevels; ++level) {
    const double place = static_cast<double>(level - 1) / (kMapLevels - 1) * (kStops.size() - 1);
    const auto stop = std::min(static_cast<size_t>(place), kStops.size() - 2);
    palette[level] = Mix(kStops[stop], kStops[stop + 1], place - static_cast<double>(stop));
  }
  return palette;
}

void FillRamp(uint8_t first, uint8_t last, const Colour& brightest, Palette* palette) {
  const int levels = last - first + 1;
  for (int i = 1; i <= levels; ++i) (*palette)[static_cast<size_t>(first + i - 1)] = Mix(kPlate, brightest, 1.0 * i / levels);
}

Palette MakeMaskPalette() {
  Palette palette;
  palette[kFuture] = {0, 0, 0, 0};
  palette[kNothing] = kPlate;
  FillRamp(kStaticFirst, kStaticLast, kStatic, &palette);
  palette[kContentStripe] = {240, 165, 30};
  palette[kContentGap] = {112, 74, 16};
  palette[kDenseFill] = {204, 121, 167};
  FillRamp(kTrueFirst, kTrueLast, kTrue, &palette);
  return palette;
}

// The first position of a pixel, when `length` positions are shown on `side` pixels.
uint64_t FirstOf(uint64_t pixel, uint64_t length, uint64_t side) { return (pixel * length + side - 1) / side; }

// The sum over n = 1 .. count.
uint64_t Triangle(uint64_t count) { return count * (count + 1) / 2; }

// Pairs of rows [row_begin, row_end) with a key in [key_begin, row].
uint64_t PairsFrom(uint64_t row_begin, uint64_t row_end, uint64_t key_begin) {
  return Triangle(row_end > key_begin ? row_end - key_begin : 0) - Triangle(row_begin > key_begin ? row_begin - key_begin : 0);
}

// Adds to counts[x] how many keys of `keys` lie on pixel x.
void CountKeys(const std::vector<KeySpan>& keys, uint64_t length, uint64_t side, std::vector<uint64_t>* counts) {
  for (const KeySpan& span : keys) {
    const uint64_t last = (span.end - 1) * side / length;
    for (uint64_t x = span.begin * side / length; x <= last; ++x) {
      (*counts)[x] += std::min(span.end, FirstOf(x + 1, length, side)) - std::max(span.begin, FirstOf(x, length, side));
    }
  }
}

uint8_t LevelOfShare(uint64_t kept, uint64_t causal, uint8_t first, uint8_t last) {
  if (kept == 0) return kNothing;
  const double share = std::sqrt(static_cast<double>(kept) / static_cast<double>(causal));
  const int levels = last - first + 1;
  return static_cast<uint8_t>(first + std::clamp(static_cast<int>(std::ceil(share * levels)) - 1, 0, levels - 1));
}

// keys_of(row, &keys) gives what a row keeps of its keys 0 .. row.
template <typename KeysOf>
Picture DrawMask(uint64_t length, size_t side, uint8_t first, uint8_t last, const KeysOf& keys_of) {
  side = std::min<size_t>(side, length);
  Picture picture(side, side);
  std::vector<uint64_t> counts(side);
  std::vector<KeySpan> keys;
  for (size_t y = 0; y < side; ++y) {
    const uint64_t row_begin = FirstOf(y, length, side);
    const uint64_t row_end = FirstOf(y + 1, length, side);
    std::fill(counts.begin(), counts.end(), 0);
    for (uint64_t row = row_begin; row < row_end; ++row) {
      keys_of(row, &keys);
      CountKeys(keys, length, side, &counts);
    }
    for (size_t x = 0; x <= y; ++x) {
      const uint64_t causal =
          PairsFrom(row_begin, row_end, FirstOf(x, length, side)) - PairsFrom(row_begin, row_end, FirstOf(x + 1, length, side));
      picture.at(y, x) = LevelOfShare(counts[x], causal, first, last);
    }
  }
  return picture;
}

Picture DrawTrueMask(const HeadMask& head, size_t side) {
  return DrawMask(head.true_mask.length(), side, kTrueFirst, kTrueLast, [&](uint64_t row, std::vector<KeySpan>* keys) {
    keys->clear();
    for (const masks::KeyRange& run : head.true_mask.row(row)) keys->push_back({run.begin, run.end});
  });
}

// Every key may be used: stripes where they are chosen as the text goes, one colour where all of them are.
Picture DrawWholeTriangle(masks::Treatment treatment, uint64_t length, size_t side) {
  side = std::min<size_t>(side, length);
  const size_t stripe = std::max<size_t>(2, side / 16);
  Picture picture(side, side);
  for (size_t y = 0; y < side; ++y) {
    for (size_t x = 0; x <= y; ++x) {
      const uint8_t hatched = (x + y) % (2 * stripe) < stripe ? kContentStripe : kContentGap;
      picture.at(y, x) = treatment == masks::Treatment::kDense ? kDenseFill : hatched;
    }
  }
  return picture;
}

Picture DrawExtended(const HeadMask& head, const Parameters& parameters, size_t side) {
  const uint64_t length = kExtension * parameters.capture_length;
  if (head.treatment != masks::Treatment::kStatic) return DrawWholeTriangle(head.treatment, length, side);
  return DrawMask(length, side, kStaticFirst, kStaticLast,
                  [&](uint64_t row, std::vector<KeySpan>* keys) { masks::KeptKeys(head, parameters, row, keys); });
}

uint8_t MapLevel(double value) {  // 0 .. 1
  const double level = std::clamp(value, 0.0, 1.0) * kMapLevels;
  return static_cast<uint8_t>(1 + std::min(static_cast<int>(level), kMapLevels - 1));
}

Picture DrawMean(const HeadMask& head) {
  const size_t side = head.thumbnail_side;
  Picture picture(side, side);
  for (size_t y = 0; y < side; ++y) {
    for (size_t x = 0; x <= y; ++x) picture.at(y, x) = MapLevel(head.thumbnail[y * side + x] / 255.0);
  }
  return picture;
}

Picture DrawAmplified(const HeadMask& head, const Parameters& parameters) {
  const size_t side = head.thumbnail_side;
  // A row of the picture stands for capture_length / side rows: where rows are scaled by their length, it is that of the
  // capture.
  const double scale = parameters.amplify.scale_rows ? static_cast<double>(parameters.capture_length) / side : 1.0;
  std::vector<float> means(masks::TriangleCells(side));
  for (size_t y = 0; y < side; ++y) {
    for (size_t x = 0; x <= y; ++x) {
      const double root = head.thumbnail[y * side + x] / 255.0;
      means[masks::TriangleIndex(y, x)] = static_cast<float>(root * root * scale);
    }
  }
  masks::HeadStatistics statistics(side);
  statistics.AddMean(means, std::max<uint64_t>(parameters.samples, 1));
  const std::vector<double> values = masks::Amplify(statistics, parameters.amplify);
  const auto [smallest, largest] = std::minmax_element(values.begin(), values.end());
  const double range = *largest - *smallest;
  Picture picture(side, side);
  for (size_t y = 0; y < side; ++y) {
    for (size_t x = 0; x <= y; ++x) {
      const double place = (values[masks::TriangleIndex(y, x)] - *smallest) / range;
      picture.at(y, x) = std::isfinite(place) ? MapLevel(place) : kNothing;
    }
  }
  return picture;
}

}  // namespace

std::span<const Colour> MapPalette() {
  static const Palette kPalette = MakeMapPalette();
  return kPalette;
}

std::span<const Colour> MaskPalette() {
  static const Palette kPalette = MakeMaskPalette();
  return kPalette;
}

std::span<const Colour> PaletteOf(View view) {
  return view == View::kMean || view == View::kAmplified ? MapPalette() : MaskPalette();
}

Picture DrawView(View view, const HeadMask& head, const Parameters& parameters, size_t side) {
  switch (view) {
    case View::kTrueMask: return DrawTrueMask(head, side);
    case View::kExtended: return DrawExtended(head, parameters, side);
    case View::kMean:
    case View::kAmplified: break;
  }
  if (head.thumbnail_side == 0) return Picture(1, 1, kNothing);
  return view == View::kMean ? DrawMean(head) : DrawAmplified(head, parameters);
}

HeadPicture DrawHead(const HeadMask& head, const Parameters& parameters, size_t side) {
  const size_t gap = side / 32;
  HeadPicture drawn;
  std::copy(MapPalette().begin(), MapPalette().end(), drawn.palette.begin());
  std::copy(MaskPalette().begin(), MaskPalette().end(), drawn.palette.begin() + kPaletteSize);
  drawn.picture = Picture(kViews.size() * side + (kViews.size() - 1) * gap, side, kFuture);
  for (size_t i = 0; i < kViews.size(); ++i) {
    Picture view = DrawView(kViews[i], head, parameters, side);
    if (PaletteOf(kViews[i]).data() == MaskPalette().data()) {
      for (uint8_t& pixel : view.pixels) pixel = static_cast<uint8_t>(pixel + kPaletteSize);
    }
    Place(view, 0, i * (side + gap), side, side, &drawn.picture);
  }
  return drawn;
}

}  // namespace damask::report
