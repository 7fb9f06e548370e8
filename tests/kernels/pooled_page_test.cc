#include "kernels/pooled_page.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tests/kernels/attention_cases.h"

namespace damask::kernels {
namespace {

struct Rows {
  std::vector<float> keys;
  std::vector<float> values;
};

Rows Load(const PageLayout& layout, const std::byte* page, size_t slot) {
  Rows rows = {std::vector<float>(layout.head_dim), std::vector<float>(layout.head_dim)};
  LoadKey(layout, page, slot, rows.keys.data());
  LoadValue(layout, page, slot, rows.values.data());
  return rows;
}

// Half a unit in the last place of a bf16, and what float32 sums of eight numbers below 5 may be off by.
void ExpectRounded(const std::vector<float>& actual, const std::vector<double>& exact, KvType type) {
  const double relative = type == KvType::kBf16 ? 0x1p-8 : 0x1p-22;
  for (size_t d = 0; d < exact.size(); ++d) ASSERT_NEAR(actual[d], exact[d], std::abs(exact[d]) * relative + 1e-6) << d;
}

TEST(PoolPage, ASlotHoldsTheMeanOfItsKeysAndOfTheirValues) {
  for (const KvType type : {KvType::kBf16, KvType::kF32}) {
    for (const size_t head_dim : {16, 80, 128}) {
      const PageLayout layout{head_dim, type};
      const RandomCache cache(layout, 64, 3);
      for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) {
        const size_t count = kPageTokens >> shift;
        for (size_t begin = 0; begin < kPageTokens; begin += count) {
          AlignedArray<std::byte> pooled(layout.bytes());
          std::fill_n(pooled.data(), layout.bytes(), std::byte{0});
          PoolPage(layout, cache.pages()[0], shift, pooled.data(), begin);
          for (size_t slot = 0; slot < kPageTokens; ++slot) {
            std::vector<double> key(head_dim, 0.0);
            std::vector<double> value(head_dim, 0.0);
            for (size_t i = 0; slot >= begin && slot < begin + count && i < size_t{1} << shift; ++i) {
              const Rows rows = Load(layout, cache.pages()[0], ((slot - begin) << shift) + i);
              for (size_t d = 0; d < head_dim; ++d) key[d] += double{rows.keys[d]} / static_cast<double>(1u << shift);
              for (size_t d = 0; d < head_dim; ++d) value[d] += double{rows.values[d]} / static_cast<double>(1u << shift);
            }
            const Rows mean = Load(layout, pooled.data(), slot);
            ExpectRounded(mean.keys, key, type);
            ExpectRounded(mean.values, value, type);
          }
        }
      }
    }
  }
}

TEST(PoolPage, OfQ8PagesTheMeansAreStoredAsAnyNumbersAre) {
  const PageLayout layout{80, KvType::kQ8};
  const RandomCache cache(layout, 64, 5);
  AlignedArray<std::byte> pooled(layout.bytes());
  AlignedArray<std::byte> expected(layout.bytes());
  std::fill_n(pooled.data(), layout.bytes(), std::byte{0});
  std::fill_n(expected.data(), layout.bytes(), std::byte{0});
  PoolPage(layout, cache.pages()[0], 1, pooled.data(), 32);
  for (size_t n = 0; n < 32; ++n) {
    Rows mean = Load(layout, cache.pages()[0], 2 * n);
    const Rows other = Load(layout, cache.pages()[0], 2 * n + 1);
    for (size_t d = 0; d < 80; ++d) {
      mean.keys[d] = (mean.keys[d] + other.keys[d]) * 0.5f;
      mean.values[d] = (mean.values[d] + other.values[d]) * 0.5f;
    }
    StoreSlot(layout, expected.data(), 32 + n, mean.keys.data(), mean.values.data());
  }
  EXPECT_TRUE(std::equal(pooled.data(), pooled.data() + layout.bytes(), expected.data()));
}

TEST(PoolPage, LevelsNestUpToTheirRounding) {
  for (const KvType type : {KvType::kBf16, KvType::kF32}) {
    const PageLayout layout{64, type};
    const RandomCache cache(layout, 64, 4);
    std::array<AlignedArray<std::byte>, kMaxPoolShift + 1> pooled;
    for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) {
      pooled[shift].Reserve(layout.bytes());
      PoolPage(layout, cache.pages()[0], shift, pooled[shift].data(), 0);
    }
    const float bound = type == KvType::kBf16 ? 0x1p-8f * 2 * 4 : 1e-6f;  // numbers below 4, both levels rounded
    for (size_t shift = 2; shift <= kMaxPoolShift; ++shift) {
      for (size_t slot = 0; slot < kPageTokens >> shift; ++slot) {
        const Rows coarse = Load(layout, pooled[shift].data(), slot);
        const Rows first = Load(layout, pooled[shift - 1].data(), 2 * slot);
        const Rows second = Load(layout, pooled[shift - 1].data(), 2 * slot + 1);
        for (size_t d = 0; d < 64; ++d) {
          ASSERT_NEAR(coarse.keys[d], (first.keys[d] + second.keys[d]) / 2, bound);
          ASSERT_NEAR(coarse.values[d], (first.values[d] + second.values[d]) / 2, bound);
        }
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
