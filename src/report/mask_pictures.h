// The four pictures of a masked head, for `damask inspect`. Queries run down, keys run to the right; pairs in the future
// (above the diagonal) are transparent.
//   mean       the small mean map that the mask file holds: brightness is the square root of the probability
//   amplified  the mask's own transform, applied to the means of that small map, from its smallest value to its largest
//   true mask  of the capture: how many of a pixel's pairs reached the threshold
//   extended   what the head really keeps of a text of kExtension capture lengths; content heads are hatched, dense ones filled
// A pixel stands for the pairs (i, j) with i * side / length = row and j * side / length = column, rounded down. Masks are
// drawn by the square root of the kept share of a pixel's causal pairs, so that one kept key among many is still seen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "masks/mask.h"
#include "report/png.h"

namespace damask::report {

enum class View : uint8_t { kMean, kAmplified, kTrueMask, kExtended };
inline constexpr std::array kViews = {View::kMean, View::kAmplified, View::kTrueMask, View::kExtended};

// The extended mask is drawn for this many capture lengths.
inline constexpr uint64_t kExtension = 4;

// What the palette numbers of a picture mean. Number 0 is transparent in both palettes, 1 a pair without attention.
inline constexpr uint8_t kFuture = 0;
inline constexpr uint8_t kNothing = 1;
// Of maps: kNothing .. kMapLevels.
inline constexpr uint8_t kMapLevels = 15;
// Of masks.
inline constexpr uint8_t kStaticFirst = 2;  // six levels
inline constexpr uint8_t kStaticLast = 7;
inline constexpr uint8_t kContentStripe = 8;
inline constexpr uint8_t kContentGap = 9;
inline constexpr uint8_t kDenseFill = 10;
inline constexpr uint8_t kTrueFirst = 11;  // five levels
inline constexpr uint8_t kTrueLast = 15;
std::span<const Colour> MapPalette();
std::span<const Colour> MaskPalette();
std::span<const Colour> PaletteOf(View view);

// A square picture. Maps have the side of the head's thumbnail (1 and nothing to see where it has none), masks the smaller of
// `side` and the length they show. Thread-safe. Cost: O(side^2 + rows * kept patterns).
Picture DrawView(View view, const masks::HeadMask& head, const masks::Parameters& parameters, size_t side);

// All four beside each other, `side` pixels high each, with a transparent gap of side / 32; numbers of one palette of both.
struct HeadPicture {
  Picture picture;
  std::array<Colour, 32> palette;  // MapPalette, then MaskPalette
};
HeadPicture DrawHead(const masks::HeadMask& head, const masks::Parameters& parameters, size_t side);

}  // namespace damask::report
