// A page: 64 consecutive positions of one KV head of one layer, the one unit of storage for cache, masks, selection, disk and
// kernels. Keys and values lie as the attention kernels read them, so nothing is packed twice.
//
// bf16 page, head_dim D:
//   keys    K [64][D]                      row t is the rotated key of slot t
//   values  V^T [64/32][D/16][16][32]      tile (h, d): 16 dimensions x 32 keys, the A operand of O^T = V^T P^T
// f32 page (the scalar target and tests): keys [64][D], values [64][D].
// A fresh page is all zeros: an unfilled slot must not bring a NaN into a tile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bf16.h"

namespace damask::kernels {

inline constexpr size_t kPageTokens = 64;
inline constexpr size_t kQuarterTokens = 16;  // a plan chooses quarters of a page

enum class KvType { kBf16, kF32 };

// head_dim is a multiple of 16, at most 256.
struct PageLayout {
  size_t head_dim = 0;
  KvType type = KvType::kBf16;

  size_t element_bytes() const { return type == KvType::kBf16 ? 2 : 4; }
  size_t value_offset() const { return kPageTokens * head_dim * element_bytes(); }
  size_t bytes() const { return 2 * value_offset(); }
};

// Index of (slot, dim) in the V^T tiles of a bf16 page, in elements from value_offset().
inline size_t ValueIndex(size_t head_dim, size_t slot, size_t dim) {
  return ((slot / 32) * (head_dim / 16) + dim / 16) * 512 + (dim % 16) * 32 + slot % 32;
}

// Stores key and value [head_dim] of one slot.
void StoreSlot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value);

// Stores `count` slots of one page from `slot` on: rows of keys and values `row_stride` floats apart (kv_heads * head_dim for a
// chunk's [tokens, kv_heads, head_dim]). slot + count is at most kPageTokens. Gives the same bytes as StoreSlot for each.
// Measured (one Zen 4 core): about 1 ns per number stored.
void StoreSlots(const PageLayout& layout, std::byte* page, size_t slot, size_t count, const float* keys, const float* values,
                size_t row_stride);

// Reads them back as floats.
void LoadKey(const PageLayout& layout, const std::byte* page, size_t slot, float* key);
void LoadValue(const PageLayout& layout, const std::byte* page, size_t slot, float* value);

}  // namespace damask::kernels
