#include "kernels/page.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::kernels {
namespace {

template <typename T>
T* Keys(std::byte* page) {
  return reinterpret_cast<T*>(page);
}
template <typename T>
const T* Keys(const std::byte* page) {
  return reinterpret_cast<const T*>(page);
}
template <typename T>
T* Values(const PageLayout& layout, std::byte* page) {
  return reinterpret_cast<T*>(page + layout.value_offset());
}
template <typename T>
const T* Values(const PageLayout& layout, const std::byte* page) {
  return reinterpret_cast<const T*>(page + layout.value_offset());
}
const bf16* KeyScales(const PageLayout& layout, const std::byte* page, size_t slot) {
  return reinterpret_cast<const bf16*>(page + layout.key_scale_offset()) + slot * layout.scale_groups();
}
bf16* KeyScales(const PageLayout& layout, std::byte* page, size_t slot) {
  return reinterpret_cast<bf16*>(page + layout.key_scale_offset()) + slot * layout.scale_groups();
}
const bf16* ValueScales(const PageLayout& layout, const std::byte* page) {
  return reinterpret_cast<const bf16*>(page + layout.value_scale_offset());
}
bf16* ValueScales(const PageLayout& layout, std::byte* page) {
  return reinterpret_cast<bf16*>(page + layout.value_scale_offset());
}

void StoreBf16Slot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value) {
  const size_t head_dim = layout.head_dim;
  bf16* const row = Keys<bf16>(page) + slot * head_dim;
  bf16* const lines = Values<bf16>(layout, page) + ValueIndex(head_dim, slot, 0);
  for (size_t d = 0; d < head_dim; ++d) row[d] = ToBf16(key[d]);
  for (size_t d = 0; d < head_dim; ++d) lines[d * kValueLine] = ToBf16(value[d]);
}

void StoreF32Slot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value) {
  const size_t bytes = layout.head_dim * sizeof(float);
  std::memcpy(page + slot * bytes, key, bytes);
  std::memcpy(page + layout.value_offset() + slot * bytes, value, bytes);
}

// Numbers below it are so small that they may as well be zero; with a larger one no product of number and scale is subnormal,
// which some instructions round to zero and others do not.
constexpr float kLeastScale = std::numeric_limits<float>::min();
constexpr bf16 kNanScale = {0x7fc0};

bf16 ScaleOf(const float* x, size_t count) {
  uint32_t largest = 0;  // bits of |x|, which order as the numbers do; those of a NaN are above all others
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  if (largest >= 0x7f800000u) return kNanScale;  // what is broken must not look sound
  const float scale = std::bit_cast<float>(largest) / 127.0f;
  if (scale < kLeastScale) return bf16{0};
  return bf16{static_cast<uint16_t>((std::bit_cast<uint32_t>(scale) + 0xffffu) >> 16)};
}

// To nearest, ties to even, of |x| <= 127: the large constant leaves the integer in the low bits.
int8_t RoundToInt8(float x) { return static_cast<int8_t>(std::bit_cast<uint32_t>(x + 12582912.0f)); }

bf16 QuantizeGroup(const float* x, size_t count, int8_t* numbers) {
  const bf16 scale = ScaleOf(x, count);
  const float inverse = scale.bits == 0 || scale.bits == kNanScale.bits ? 0.0f : 1.0f / ToFloat(scale);
  for (size_t i = 0; i < count; ++i) numbers[i] = RoundToInt8(x[i] * inverse);
  return scale;
}

void StoreQ8Slot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value) {
  const size_t head_dim = layout.head_dim;
  int8_t* const key_row = Keys<int8_t>(page) + slot * head_dim;
  int8_t* const lines = Values<int8_t>(layout, page) + ValueIndex(head_dim, slot, 0);
  for (size_t group = 0; group < layout.scale_groups(); ++group) {
    const size_t first = group * kScaleDims;
    const size_t count = std::min(kScaleDims, head_dim - first);
    KeyScales(layout, page, slot)[group] = QuantizeGroup(key + first, count, key_row + first);
    int8_t numbers[kScaleDims];
    ValueScales(layout, page)[group * kPageTokens + slot] = QuantizeGroup(value + first, count, numbers);
    for (size_t d = 0; d < count; ++d) lines[(first + d) * kValueLine] = numbers[d];
  }
}

template <typename T>
void CopyLines(size_t head_dim, const T* from, T* to) {
  for (size_t d = 0; d < head_dim; ++d) to[d * kValueLine] = from[d * kValueLine];
}

}  // namespace

std::string_view KvTypeName(KvType type) {
  switch (type) {
    case KvType::kBf16: return "bf16";
    case KvType::kF32: return "f32";
    case KvType::kQ8: return "q8";
  }
  return "";
}

Result<KvType> ParseKvType(std::string_view name) {
  for (const KvType type : {KvType::kBf16, KvType::kQ8}) {
    if (name == KvTypeName(type)) return type;
  }
  return InvalidArgument(fmt::format("found {}, expected bf16 or q8", Quote(name)));
}

void StoreSlot(const PageLayout& layout, std::byte* page, size_t slot, const float* key, const float* value) {
  switch (layout.type) {
    case KvType::kBf16: return StoreBf16Slot(layout, page, slot, key, value);
    case KvType::kF32: return StoreF32Slot(layout, page, slot, key, value);
    case KvType::kQ8: return StoreQ8Slot(layout, page, slot, key, value);
  }
}

void CopyKeys(const PageLayout& layout, const std::byte* from, size_t from_slot, std::byte* to, size_t to_slot, size_t count) {
  const size_t row = layout.head_dim * layout.element_bytes();
  std::memcpy(to + to_slot * row, from + from_slot * row, count * row);
  if (layout.type != KvType::kQ8) return;
  std::copy_n(KeyScales(layout, from, from_slot), count * layout.scale_groups(), KeyScales(layout, to, to_slot));
}

void CopySlot(const PageLayout& layout, const std::byte* from, size_t from_slot, std::byte* to, size_t to_slot) {
  CopyKeys(layout, from, from_slot, to, to_slot, 1);
  const size_t head_dim = layout.head_dim;
  const size_t source = ValueIndex(head_dim, from_slot, 0);
  const size_t target = ValueIndex(head_dim, to_slot, 0);
  switch (layout.type) {
    case KvType::kBf16: return CopyLines(head_dim, Values<bf16>(layout, from) + source, Values<bf16>(layout, to) + target);
    case KvType::kF32:
      std::copy_n(Values<float>(layout, from) + from_slot * head_dim, head_dim, Values<float>(layout, to) + to_slot * head_dim);
      return;
    case KvType::kQ8: break;
  }
  CopyLines(head_dim, Values<int8_t>(layout, from) + source, Values<int8_t>(layout, to) + target);
  for (size_t group = 0; group < layout.scale_groups(); ++group) {
    ValueScales(layout, to)[group * kPageTokens + to_slot] = ValueScales(layout, from)[group * kPageTokens + from_slot];
  }
}

void LoadKey(const PageLayout& layout, const std::byte* page, size_t slot, float* key) {
  const size_t head_dim = layout.head_dim;
  switch (layout.type) {
    case KvType::kBf16:
      for (size_t d = 0; d < head_dim; ++d) key[d] = ToFloat(Keys<bf16>(page)[slot * head_dim + d]);
      return;
    case KvType::kF32: std::copy_n(Keys<float>(page) + slot * head_dim, head_dim, key); return;
    case KvType::kQ8: break;
  }
  const int8_t* const row = Keys<int8_t>(page) + slot * head_dim;
  const bf16* const scales = KeyScales(layout, page, slot);
  for (size_t d = 0; d < head_dim; ++d) key[d] = static_cast<float>(row[d]) * ToFloat(scales[d / kScaleDims]);
}

void LoadValue(const PageLayout& layout, const std::byte* page, size_t slot, float* value) {
  const size_t head_dim = layout.head_dim;
  const size_t first = ValueIndex(head_dim, slot, 0);
  switch (layout.type) {
    case KvType::kBf16:
      for (size_t d = 0; d < head_dim; ++d) value[d] = ToFloat(Values<bf16>(layout, page)[first + d * kValueLine]);
      return;
    case KvType::kF32: std::copy_n(Values<float>(layout, page) + slot * head_dim, head_dim, value); return;
    case KvType::kQ8: break;
  }
  const int8_t* const lines = Values<int8_t>(layout, page) + first;
  const bf16* const scales = ValueScales(layout, page) + slot;
  for (size_t d = 0; d < head_dim; ++d) {
    value[d] = static_cast<float>(lines[d * kValueLine]) * ToFloat(scales[d / kScaleDims * kPageTokens]);
  }
}

}  // namespace damask::kernels
