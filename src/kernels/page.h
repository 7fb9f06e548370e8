// A page: 64 consecutive positions of one KV head of one layer, the one unit of storage for cache, masks, selection, disk and
// kernels. Keys and values lie as the attention kernels read them, so nothing is packed twice.
//
// bf16 page, head_dim D:
//   keys    K [64][D]                      row t is the rotated key of slot t
//   values  V^T [64/32][D/16][16][32]      tile (h, d): 16 dimensions x 32 keys, the A operand of O^T = V^T P^T
// f32 page (the scalar target and tests): keys [64][D], values [64][D].
// q8 page, G = D / 32 groups of dimensions (rounded up; the last one may have 16):
//   keys          int8 [64][D]
//   key scales    bf16 [64][G]                     of each slot and group
//   values        int8 V^T [64/32][D/16][16][32]   in the order of a bf16 page
//   value scales  bf16 [G][64]
// A number stands for itself times its scale: the scale is max|x| / 127 of slot and group, rounded up to bf16, so that no
// number overflows. Scales are of single slots (as in llama.cpp's q8_0 cache): a slot is written once, and its bits do not
// depend on what else its page holds or will hold. Every part begins at a multiple of 64 bytes; keys and what belongs to them
// come first. A fresh page is all zeros: an unfilled slot must not bring a NaN into a tile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bf16.h"
#include "base/status.h"

namespace damask::kernels {

inline constexpr size_t kPageTokens = 64;
inline constexpr size_t kQuarterTokens = 16;  // a plan chooses quarters of a page

inline constexpr size_t kScaleDims = 32;  // dimensions of a q8 page that share a scale

enum class KvType { kBf16, kF32, kQ8 };

// "bf16", "f32", "q8".
std::string_view KvTypeName(KvType type);
// What a cache may be asked to be, "bf16" or "q8"; f32 is the scalar target's own. InvalidArgument for other names.
Result<KvType> ParseKvType(std::string_view name);

// head_dim is a multiple of 16, at most 256. Offsets are in bytes from the page's beginning.
struct PageLayout {
  size_t head_dim = 0;
  KvType type = KvType::kBf16;

  size_t element_bytes() const { return type == KvType::kBf16 ? 2 : type == KvType::kF32 ? 4 : 1; }
  size_t number_bytes() const { return kPageTokens * head_dim * element_bytes(); }  // of all keys, or of all values
  // Groups of dimensions with a scale; 0 for types without.
  size_t scale_groups() const { return type == KvType::kQ8 ? (head_dim + kScaleDims - 1) / kScaleDims : 0; }
  size_t scale_bytes() const { return kPageTokens * scale_groups() * sizeof(bf16); }
  size_t key_scale_offset() const { return number_bytes(); }
  size_t value_offset() const { return number_bytes() + scale_bytes(); }
  size_t value_scale_offset() const { return value_offset() + number_bytes(); }
  size_t bytes() const { return 2 * value_offset(); }
};

inline constexpr size_t kValueLine = 32;  // elements from one dimension's line of V^T to the next

// Index of (slot, dim) in the V^T tiles of a bf16 or q8 page, in elements from value_offset().
inline size_t ValueIndex(size_t head_dim, size_t slot, size_t dim) {
  return ((slot / 32) * (head_dim / 16) + dim / 16) * 512 + (dim % 16) * 32 + slot % 32;
}

// Stores key and value [head_dim] of one slot. Many at once were tried and took as long (docs/benchmarks.md).
void StoreSlot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value);

// Copies the keys of `count` slots (of a page, or of its keys' half alone: value_offset() bytes), or a slot's key and value, to
// a page of the same layout.
void CopyKeys(const PageLayout& layout, const std::byte* from, size_t from_slot, std::byte* to, size_t to_slot, size_t count);
void CopySlot(const PageLayout& layout, const std::byte* from, size_t from_slot, std::byte* to, size_t to_slot);

// Reads them back as floats.
void LoadKey(const PageLayout& layout, const std::byte* page, size_t slot, float* key);
void LoadValue(const PageLayout& layout, const std::byte* page, size_t slot, float* value);

}  // namespace damask::kernels
