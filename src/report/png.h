// Pictures of few colours, and PNG files of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace damask::report {

// Row by row from above, one palette number a pixel.
struct Picture {
  Picture() = default;
  Picture(size_t columns, size_t rows, uint8_t value = 0) : width(columns), height(rows), pixels(columns * rows, value) {}

  uint8_t& at(size_t row, size_t column) { return pixels[row * width + column]; }
  uint8_t at(size_t row, size_t column) const { return pixels[row * width + column]; }

  size_t width = 0;
  size_t height = 0;
  std::vector<uint8_t> pixels;
};

struct Colour {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  uint8_t alpha = 255;
  bool operator==(const Colour&) const = default;
};

// `picture` put into `canvas` with its upper left corner at (row, column), each pixel repeated (or left out) so that it covers
// `width` x `height`. It must fit.
void Place(const Picture& picture, size_t row, size_t column, size_t height, size_t width, Picture* canvas);

// The bytes of a PNG file with a palette of 1 to 256 colours; pixels are indices into it. Up to 16 colours take four bits a
// pixel. InvalidArgument for an empty picture or a pixel outside the palette, OutOfMemory, Internal for what libpng reports.
Result<std::string> EncodePng(const Picture& picture, std::span<const Colour> palette);

}  // namespace damask::report
