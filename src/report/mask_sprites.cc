#include "report/mask_sprites.h"

#include <algorithm>

#include "report/png.h"

namespace damask::report {
namespace {

// Masks of small models are drawn finer: the page stays at a few MB either way.
constexpr size_t kFineHeads = 256;
constexpr size_t kFineSide = 128;
constexpr size_t kCoarseSide = 64;

size_t TileSide(View view, const masks::Mask& mask, size_t side) {
  switch (view) {
    case View::kTrueMask: return std::min<size_t>(side, mask.parameters.capture_length);
    case View::kExtended: return std::min<size_t>(side, kExtension * mask.parameters.capture_length);
    case View::kMean:
    case View::kAmplified: break;
  }
  uint32_t largest = 1;
  for (const masks::HeadMask& head : mask.heads) largest = std::max(largest, head.thumbnail_side);
  return largest;
}

Result<std::string> DrawLayer(View view, const masks::Mask& mask, size_t layer, size_t side, const Sprites& sprites) {
  const size_t tile = TileSide(view, mask, side);
  Picture picture(sprites.columns * tile, sprites.rows * tile, kFuture);
  for (size_t h = 0; h < mask.fingerprint.heads; ++h) {
    const Picture drawn = DrawView(view, mask.head(layer, h), mask.parameters, tile);
    Place(drawn, h / sprites.columns * tile, h % sprites.columns * tile, tile, tile, &picture);
  }
  return EncodePng(picture, PaletteOf(view));
}

}  // namespace

Result<Sprites> DrawSprites(const masks::Mask& mask, ThreadPool* pool) {
  Sprites sprites;
  sprites.columns = std::min<size_t>(mask.fingerprint.heads, Sprites::kMaxColumns);
  sprites.rows = (mask.fingerprint.heads + sprites.columns - 1) / sprites.columns;
  sprites.layers.resize(mask.fingerprint.layers);
  const size_t side = mask.heads.size() <= kFineHeads ? kFineSide : kCoarseSide;
  std::vector<Status> failed(sprites.layers.size() * kViews.size());
  pool->ParallelFor(failed.size(), 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const size_t layer = i / kViews.size();
      const size_t view = i % kViews.size();
      Result<std::string> png = DrawLayer(kViews[view], mask, layer, side, sprites);
      if (png.ok()) {
        sprites.layers[layer][view] = std::move(png).value();
      } else {
        failed[i] = png.status();
      }
    }
  });
  for (const Status& status : failed) DAMASK_RETURN_IF_ERROR(status);
  return sprites;
}

}  // namespace damask::report
