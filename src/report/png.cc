#include "report/png.h"

#include <algorithm>

#include <fmt/format.h>
#include <png.h>

namespace damask::report {

void Place(const Picture& picture, size_t row, size_t column, size_t height, size_t width, Picture* canvas) {
  for (size_t y = 0; y < height; ++y) {
    for (size_t x = 0; x < width; ++x) {
      canvas->at(row + y, column + x) = picture.at(y * picture.height / height, x * picture.width / width);
    }
  }
}

Result<std::string> EncodePng(const Picture& picture, std::span<const Colour> palette) {
  if (picture.pixels.empty() || picture.pixels.size() != picture.width * picture.height || palette.empty() ||
      palette.size() > 256 || *std::max_element(picture.pixels.begin(), picture.pixels.end()) >= palette.size()) {
    return InvalidArgument(fmt::format("a picture of {} x {} pixels does not fit its palette of {} colours", picture.width,
                                       picture.height, palette.size()));
  }
  static_assert(sizeof(Colour) == 4);  // libpng's form of a colour map with alpha
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGBA_COLORMAP;
  image.colormap_entries = static_cast<png_uint_32>(palette.size());
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(bytes, '\0');
  if (png_image_write_to_memory(&image, file.data(), &bytes, 0, picture.pixels.data(), 0, palette.data()) == 0) {
    return Internal(fmt::format("libpng cannot write the picture: {}", image.message));
  }
  file.resize(bytes);
  return file;
}

}  // namespace damask::report
