// The pictures of all heads of a layer, side by side in one PNG for each view: a page of a thousand heads holds a few hundred
// files instead of thousands, and they compress together.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "masks/mask.h"
#include "report/mask_pictures.h"

namespace damask::report {

struct Sprites {
  static constexpr size_t kMaxColumns = 32;

  size_t columns = 0;  // tiles beside each other; head h is tile (h / columns, h % columns)
  size_t rows = 0;
  std::vector<std::array<std::string, kViews.size()>> layers;  // PNG files, in the order of kViews
};

Result<Sprites> DrawSprites(const masks::Mask& mask, ThreadPool* pool);

}  // namespace damask::report
