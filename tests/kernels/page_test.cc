#include "kernels/page.h"

#include <cstring>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned.h"

namespace damask::kernels {
namespace {

std::vector<float> RandomRows(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count);
  for (float& x : rows) x = normal(random);
  return rows;
}

AlignedArray<std::byte> ZeroPage(const PageLayout& layout) {
  AlignedArray<std::byte> page(layout.bytes());
  std::memset(page.data(), 0, layout.bytes());
  return page;
}

TEST(Page, ValueIndexIsAPermutationOfTheValues) {
  for (const size_t head_dim : {16, 64, 80, 256}) {
    std::set<size_t> seen;
    for (size_t slot = 0; slot < kPageTokens; ++slot) {
      for (size_t dim = 0; dim < head_dim; ++dim) seen.insert(ValueIndex(head_dim, slot, dim));
    }
    EXPECT_EQ(seen.size(), kPageTokens * head_dim);
    EXPECT_EQ(*seen.rbegin(), kPageTokens * head_dim - 1);
  }
}

TEST(Page, WhatIsStoredIsLoadedUpToTheRoundingOfItsType) {
  for (const KvType type : {KvType::kBf16, KvType::kF32}) {
    const PageLayout layout{80, type};
    AlignedArray<std::byte> page = ZeroPage(layout);
    const std::vector<float> keys = RandomRows(kPageTokens * 80, 1);
    const std::vector<float> values = RandomRows(kPageTokens * 80, 2);
    for (size_t slot = 0; slot < kPageTokens; ++slot)
      StoreSlot(layout, page.data(), slot, &keys[slot * 80], &values[slot * 80]);
    std::vector<float> key(80);
    std::vector<float> value(80);
    for (size_t slot = 0; slot < kPageTokens; ++slot) {
      LoadKey(layout, page.data(), slot, key.data());
      LoadValue(layout, page.data(), slot, value.data());
      for (size_t d = 0; d < 80; ++d) {
        const float k = keys[slot * 80 + d];
        const float v = values[slot * 80 + d];
        ASSERT_EQ(key[d], type == KvType::kF32 ? k : ToFloat(ToBf16(k)));
        ASSERT_EQ(value[d], type == KvType::kF32 ? v : ToFloat(ToBf16(v)));
      }
    }
  }
}

TEST(Page, StoringASlotLeavesTheOthersAlone) {
  for (const KvType type : {KvType::kBf16, KvType::kF32, KvType::kQ8}) {
    const PageLayout layout{64, type};
    AlignedArray<std::byte> page = ZeroPage(layout);
    const std::vector<float> row = RandomRows(64, 5);
    StoreSlot(layout, page.data(), 33, row.data(), row.data());
    std::vector<float> other(64);
    for (const size_t slot : {0, 31, 32, 34, 63}) {
      LoadKey(layout, page.data(), slot, other.data());
      EXPECT_EQ(other, std::vector<float>(64, 0.0f)) << slot;
      LoadValue(layout, page.data(), slot, other.data());
      EXPECT_EQ(other, std::vector<float>(64, 0.0f)) << slot;
    }
  }
}

TEST(Page, ACopiedSlotHasTheBytesOfAStoredOne) {
  for (const KvType type : {KvType::kBf16, KvType::kF32, KvType::kQ8}) {
    for (const size_t head_dim : {16, 80, 128}) {
      const PageLayout layout{head_dim, type};
      const std::vector<float> keys = RandomRows(kPageTokens * head_dim, 6);
      const std::vector<float> values = RandomRows(kPageTokens * head_dim, 7);
      AlignedArray<std::byte> source = ZeroPage(layout);
      for (size_t slot = 0; slot < kPageTokens; ++slot) {
        StoreSlot(layout, source.data(), slot, &keys[slot * head_dim], &values[slot * head_dim]);
      }
      AlignedArray<std::byte> stored = ZeroPage(layout);
      AlignedArray<std::byte> copied = ZeroPage(layout);
      AlignedArray<std::byte> copied_keys = ZeroPage(layout);
      for (const auto& [from, to] : {std::pair<size_t, size_t>{5, 40}, {63, 0}, {32, 31}}) {
        StoreSlot(layout, stored.data(), to, &keys[from * head_dim], &values[from * head_dim]);
        CopySlot(layout, source.data(), from, copied.data(), to);
        CopyKeys(layout, source.data(), from, copied_keys.data(), to, 1);
      }
      EXPECT_EQ(std::memcmp(stored.data(), copied.data(), layout.bytes()), 0);
      EXPECT_EQ(std::memcmp(stored.data(), copied_keys.data(), layout.value_offset()), 0);
    }
  }
}

TEST(Page, TypesHaveNames) {
  EXPECT_EQ(KvTypeName(KvType::kF32), "f32");
  for (const KvType type : {KvType::kBf16, KvType::kQ8}) EXPECT_EQ(*ParseKvType(KvTypeName(type)), type);
  for (const char* name : {"f32", "q4", "", "Q8"}) {
    EXPECT_EQ(ParseKvType(name).status().code(), StatusCode::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace damask::kernels
