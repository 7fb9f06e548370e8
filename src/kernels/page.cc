#include "kernels/page.h"

#include <cstring>

namespace damask::kernels {
namespace {

// Distance between the V^T tiles of one 32-key half and the next, in elements.
size_t HalfStride(size_t head_dim) { return head_dim * 32; }

bf16* Keys(std::byte* page) { return reinterpret_cast<bf16*>(page); }
bf16* Values(const PageLayout& layout, std::byte* page) { return reinterpret_cast<bf16*>(page + layout.value_offset()); }

void StoreKeyRow(size_t head_dim, const float* key, bf16* row) {
  for (size_t d = 0; d < head_dim; ++d) row[d] = ToBf16(key[d]);
}

// Slots [begin, end) lie in one half. Sixteen dimensions at a time: one cache line of each row is read whole, and the 16 lines
// of a tile that are written stay in L1, although rows of a chunk lie some KiB apart.
void StoreValuesOfHalf(size_t head_dim, bf16* values, size_t begin, size_t end, const float* rows, size_t row_stride) {
  bf16* const half = values + (begin / 32) * HalfStride(head_dim) + begin % 32;
  for (size_t tile = 0; tile < head_dim; tile += 16) {
    bf16* const lines = half + tile * 32;  // lines of all dimensions follow each other, 32 keys wide
    for (size_t i = 0; i < end - begin; ++i) {
      const float* const numbers = rows + i * row_stride + tile;
      for (size_t d = 0; d < 16; ++d) lines[d * 32 + i] = ToBf16(numbers[d]);
    }
  }
}

}  // namespace

void StoreSlot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value) {
  StoreSlots(layout, page, slot, 1, key, value, layout.head_dim);
}

void StoreSlots(const PageLayout& layout, std::byte* page, size_t slot, size_t count, const float* keys, const float* values,
                size_t row_stride) {
  const size_t head_dim = layout.head_dim;
  if (layout.type == KvType::kF32) {
    for (size_t i = 0; i < count; ++i) {
      const size_t offset = (slot + i) * head_dim * sizeof(float);
      std::memcpy(page + offset, keys + i * row_stride, head_dim * sizeof(float));
      std::memcpy(page + layout.value_offset() + offset, values + i * row_stride, head_dim * sizeof(float));
    }
    return;
  }
  for (size_t i = 0; i < count; ++i) StoreKeyRow(head_dim, keys + i * row_stride, Keys(page) + (slot + i) * head_dim);
  for (size_t begin = slot; begin < slot + count;) {
    const size_t border = (begin / 32 + 1) * 32;
    const size_t end = border < slot + count ? border : slot + count;
    StoreValuesOfHalf(head_dim, Values(layout, page), begin, end, values + (begin - slot) * row_stride, row_stride);
    begin = end;
  }
}

void LoadKey(const PageLayout& layout, const std::byte* page, size_t slot, float* key) {
  if (layout.type == KvType::kF32) {
    std::memcpy(key, page + slot * layout.head_dim * sizeof(float), layout.head_dim * sizeof(float));
    return;
  }
  const bf16* const row = reinterpret_cast<const bf16*>(page) + slot * layout.head_dim;
  for (size_t d = 0; d < layout.head_dim; ++d) key[d] = ToFloat(row[d]);
}

void LoadValue(const PageLayout& layout, const std::byte* page, size_t slot, float* value) {
  const std::byte* const values = page + layout.value_offset();
  if (layout.type == KvType::kF32) {
    std::memcpy(value, values + slot * layout.head_dim * sizeof(float), layout.head_dim * sizeof(float));
    return;
  }
  const bf16* const tiles = reinterpret_cast<const bf16*>(values);
  for (size_t d = 0; d < layout.head_dim; ++d) value[d] = ToFloat(tiles[ValueIndex(layout.head_dim, slot, d)]);
}

}  // namespace damask::kernels
