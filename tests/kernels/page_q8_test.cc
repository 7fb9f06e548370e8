// Pages of 8-bit numbers: what is lost, what is not, and their way to bf16.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/expand.h"
#include "kernels/page.h"

namespace damask::kernels {
namespace {

constexpr size_t kHeadDims[] = {16, 48, 64, 80, 96, 112, 128, 240, 256};

AlignedArray<std::byte> ZeroPage(const PageLayout& layout) {
  AlignedArray<std::byte> page(layout.bytes());
  std::memset(page.data(), 0, layout.bytes());
  return page;
}

// Slots of very different size, as an attention sink's key and its neighbours are.
std::vector<float> Rows(size_t head_dim, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(kPageTokens * head_dim);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = normal(random) * std::exp2(static_cast<float>(i / head_dim % 29) - 14.0f);
  }
  return rows;
}

struct FullPage {
  FullPage(size_t head_dim, uint32_t seed)
      : layout{head_dim, KvType::kQ8}, keys(Rows(head_dim, seed)), values(Rows(head_dim, seed + 1)), page(ZeroPage(layout)) {
    for (size_t slot = 0; slot < kPageTokens; ++slot) {
      StoreSlot(layout, page.data(), slot, &keys[slot * head_dim], &values[slot * head_dim]);
    }
  }
  PageLayout layout;
  std::vector<float> keys;
  std::vector<float> values;
  AlignedArray<std::byte> page;
};

// The largest |x| of the group of dimension d.
float LargestOfGroup(const float* row, size_t head_dim, size_t d) {
  float largest = 0.0f;
  for (size_t i = d / kScaleDims * kScaleDims; i < std::min(head_dim, (d / kScaleDims + 1) * kScaleDims); ++i) {
    largest = std::max(largest, std::abs(row[i]));
  }
  return largest;
}

TEST(PageQ8, ANumberIsOffByHalfAStepAtMost) {
  for (const size_t head_dim : kHeadDims) {
    const FullPage full(head_dim, 1);
    std::vector<float> key(head_dim);
    std::vector<float> value(head_dim);
    for (size_t slot = 0; slot < kPageTokens; ++slot) {
      LoadKey(full.layout, full.page.data(), slot, key.data());
      LoadValue(full.layout, full.page.data(), slot, value.data());
      for (size_t d = 0; d < head_dim; ++d) {
        const float* const k = &full.keys[slot * head_dim];
        const float* const v = &full.values[slot * head_dim];
        // A scale is rounded up by 2^-7 of itself at most; 1e-4: the float arithmetic of the quotient.
        ASSERT_LE(std::abs(key[d] - k[d]), LargestOfGroup(k, head_dim, d) / 127 * (1 + 0x1p-7f) * 0.5001f) << slot << " " << d;
        ASSERT_LE(std::abs(value[d] - v[d]), LargestOfGroup(v, head_dim, d) / 127 * (1 + 0x1p-7f) * 0.5001f) << slot;
      }
    }
  }
}

TEST(PageQ8, TakesHalfTheBytesAndKeepsItsPartsAligned) {
  for (const size_t head_dim : kHeadDims) {
    const PageLayout q8{head_dim, KvType::kQ8};
    const PageLayout bf16{head_dim, KvType::kBf16};
    EXPECT_LE(static_cast<double>(q8.bytes()), 0.57 * static_cast<double>(bf16.bytes())) << head_dim;
    for (const size_t offset : {q8.key_scale_offset(), q8.value_offset(), q8.value_scale_offset(), q8.bytes()}) {
      EXPECT_EQ(offset % kCacheLine, 0u) << head_dim;
    }
    EXPECT_EQ(bf16.scale_bytes(), 0u);
  }
  EXPECT_EQ((PageLayout{128, KvType::kQ8}.bytes()), 17408u);
}

TEST(PageQ8, ZerosAndWholeStepsComeBackExactly) {
  const PageLayout layout{64, KvType::kQ8};
  AlignedArray<std::byte> page = ZeroPage(layout);
  std::vector<float> steps(64, 0.0f);  // the first group: -127 .. 127 times a power of two; the second: zeros
  for (size_t d = 0; d < 32; ++d) steps[d] = (static_cast<float>(d * 8) - 127.0f) * 0.25f;
  steps[31] = 127.0f * 0.25f;
  StoreSlot(layout, page.data(), 3, steps.data(), steps.data());
  std::vector<float> back(64);
  LoadKey(layout, page.data(), 3, back.data());
  EXPECT_EQ(back, steps);
  LoadValue(layout, page.data(), 3, back.data());
  EXPECT_EQ(back, steps);
}

TEST(PageQ8, TheSmallestNumbersAreZeroAndTheLargestStayFinite) {
  const PageLayout layout{16, KvType::kQ8};
  AlignedArray<std::byte> page = ZeroPage(layout);
  const std::vector<float> small(16, 1e-37f);
  const std::vector<float> large(16, 3e38f);
  StoreSlot(layout, page.data(), 0, small.data(), large.data());
  std::vector<float> back(16);
  LoadKey(layout, page.data(), 0, back.data());
  EXPECT_EQ(back, std::vector<float>(16, 0.0f));
  LoadValue(layout, page.data(), 0, back.data());
  for (const float x : back) EXPECT_NEAR(x, 3e38f, 3e36f);
}

TEST(PageQ8, WhatIsNoNumberComesBackAsNone) {
  const PageLayout layout{48, KvType::kQ8};
  for (const float broken : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    AlignedArray<std::byte> page = ZeroPage(layout);
    std::vector<float> row(48, 1.0f);
    row[40] = broken;
    StoreSlot(layout, page.data(), 9, row.data(), row.data());
    std::vector<float> back(48);
    LoadKey(layout, page.data(), 9, back.data());
    EXPECT_FALSE(std::isnan(back[31]));
    EXPECT_TRUE(std::isnan(back[40]));
    LoadValue(layout, page.data(), 9, back.data());
    EXPECT_TRUE(std::isnan(back[40]));
  }
}

struct Body {
  Target target;
  ExpandFn expand;
};

std::vector<Body> Bodies() {
  std::vector<Body> bodies;
  for (const Body& body :
       {Body{Target::kAvx2, ExpandAvx2}, Body{Target::kAvx512, ExpandAvx512}, Body{Target::kAvx512Bf16, ExpandAvx512Bf16}}) {
    if (TargetSupported(body.target)) bodies.push_back(body);
  }
  return bodies;
}

TEST(PageQ8, EveryBodyExpandsToTheBf16PageOfTheSameNumbers) {
  for (const size_t head_dim : kHeadDims) {
    const FullPage full(head_dim, 5);
    const PageLayout bf16{head_dim, KvType::kBf16};
    AlignedArray<std::byte> expected = ZeroPage(bf16);
    std::vector<float> key(head_dim);
    std::vector<float> value(head_dim);
    for (size_t slot = 0; slot < kPageTokens; ++slot) {
      LoadKey(full.layout, full.page.data(), slot, key.data());
      LoadValue(full.layout, full.page.data(), slot, value.data());
      StoreSlot(bf16, expected.data(), slot, key.data(), value.data());
    }
    for (const Body& body : Bodies()) {
      for (const size_t slots : {16, 32}) {
        AlignedArray<std::byte> actual = ZeroPage(bf16);
        const std::byte* const page = full.page.data();
        for (size_t slot = 0; slot < kPageTokens; slot += slots) {
          const size_t lines = ValueIndex(head_dim, slot, 0);
          ExpandRun run;
          run.slots = slots;
          run.from.keys = reinterpret_cast<const int8_t*>(page) + slot * head_dim;
          run.from.values = reinterpret_cast<const int8_t*>(page + full.layout.value_offset()) + lines;
          run.from.key_scales =
              reinterpret_cast<const uint16_t*>(page + full.layout.key_scale_offset()) + slot * full.layout.scale_groups();
          run.from.value_scales = reinterpret_cast<const uint16_t*>(page + full.layout.value_scale_offset()) + slot;
          run.to_keys = reinterpret_cast<uint16_t*>(actual.data()) + slot * head_dim;
          run.to_values = reinterpret_cast<uint16_t*>(actual.data() + bf16.value_offset()) + lines;
          body.expand(run, head_dim);
        }
        EXPECT_EQ(std::memcmp(expected.data(), actual.data(), bf16.bytes()), 0) << TargetName(body.target) << " " << head_dim;
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
