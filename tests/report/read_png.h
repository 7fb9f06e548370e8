// A PNG file read back with libpng.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <png.h>

#include "report/png.h"

namespace damask::test {

// Width 0 where libpng finds no picture.
struct ReadPicture {
  size_t width = 0;
  size_t height = 0;
  std::vector<report::Colour> pixels;  // row by row

  report::Colour at(size_t row, size_t column) const { return pixels[row * width + column]; }
};

inline ReadPicture ReadPng(std::string_view bytes) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) return {};
  image.format = PNG_FORMAT_RGBA;
  ReadPicture picture;
  picture.pixels.resize(size_t{image.width} * image.height);
  if (png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr) == 0) return {};
  picture.width = image.width;
  picture.height = image.height;
  return picture;
}

}  // namespace damask::test
