// The emulated tiles against plain sums. On a machine with AMX the tests of the products and of attention run both backends.
#include "kernels/amx/tiles.h"

#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/bf16.h"

namespace damask::kernels::amx {
namespace {

// C 11 x 7, K 5 groups: shapes that are not full.
TileConfig OddShapes() {
  TileConfig config;
  config.Set(0, 11, 7 * 4);
  config.Set(1, 11, 5 * 4);
  config.Set(2, 5, 7 * 4);
  return config;
}

TEST(EmulatedTiles, Bf16ProductsAddPairsIntoC) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> small(-8, 8);
  std::vector<bf16> a(11 * 10);
  std::vector<bf16> b(5 * 14);
  std::vector<float> c(11 * 7);
  // Whole numbers: every order of sums is exact.
  for (bf16& x : a) x = ToBf16(static_cast<float>(small(random)));
  for (bf16& x : b) x = ToBf16(static_cast<float>(small(random)));
  for (float& x : c) x = static_cast<float>(small(random));
  std::vector<float> expected = c;
  for (size_t m = 0; m < 11; ++m) {
    for (size_t n = 0; n < 7; ++n) {
      for (size_t k = 0; k < 10; ++k) expected[m * 7 + n] += ToFloat(a[m * 10 + k]) * ToFloat(b[k / 2 * 14 + n * 2 + k % 2]);
    }
  }
  EmulatedTiles::Configure(OddShapes());
  EmulatedTiles::Load<0>(c.data(), 28);
  EmulatedTiles::Load<1>(a.data(), 20);
  EmulatedTiles::StreamLoad<2>(b.data(), 28);
  EmulatedTiles::DotBf16<0, 1, 2>();
  EmulatedTiles::Store<0>(c.data(), 28);
  EmulatedTiles::Release();
  EXPECT_EQ(c, expected);
}

TEST(EmulatedTiles, ByteProductsAddFoursIntoC) {
  std::mt19937 random(2);
  std::uniform_int_distribution<int> any(-128, 127);
  std::vector<int8_t> a(11 * 20);
  std::vector<int8_t> b(5 * 28);
  std::vector<int32_t> c(11 * 7);
  for (int8_t& x : a) x = static_cast<int8_t>(any(random));
  for (int8_t& x : b) x = static_cast<int8_t>(any(random));
  for (int32_t& x : c) x = any(random);
  std::vector<int32_t> expected = c;
  for (size_t m = 0; m < 11; ++m) {
    for (size_t n = 0; n < 7; ++n) {
      for (size_t k = 0; k < 20; ++k) expected[m * 7 + n] += a[m * 20 + k] * b[k / 4 * 28 + n * 4 + k % 4];
    }
  }
  EmulatedTiles::Configure(OddShapes());
  EmulatedTiles::Load<0>(c.data(), 28);
  EmulatedTiles::Load<1>(a.data(), 20);
  EmulatedTiles::Load<2>(b.data(), 28);
  EmulatedTiles::DotBytes<0, 1, 2>();
  EmulatedTiles::Store<0>(c.data(), 28);
  EmulatedTiles::Release();
  EXPECT_EQ(c, expected);
}

TEST(EmulatedTiles, Bf16DenormalsCountAsZero) {
  const bf16 denormal{0x0001};
  const bf16 one = ToBf16(1.0f);
  std::vector<bf16> a(32, denormal);
  std::vector<bf16> b(32, one);
  std::vector<float> c(1, 2.0f);
  TileConfig config;
  config.Set(0, 1, 4);
  config.Set(1, 1, 4);
  config.Set(2, 1, 4);
  EmulatedTiles::Configure(config);
  EmulatedTiles::Load<0>(c.data(), 4);
  EmulatedTiles::Load<1>(a.data(), 4);
  EmulatedTiles::Load<2>(b.data(), 4);
  EmulatedTiles::DotBf16<0, 1, 2>();
  EmulatedTiles::Store<0>(c.data(), 4);
  EXPECT_EQ(c[0], 2.0f);
}

TEST(EmulatedTiles, LoadsAndStoresTouchOnlyTheConfiguredShape) {
  std::vector<uint8_t> memory(16 * 64, 7);
  std::vector<uint8_t> target(16 * 64, 9);
  EmulatedTiles::Configure(OddShapes());
  EmulatedTiles::Load<2>(memory.data(), 64);
  EmulatedTiles::Store<2>(target.data(), 64);
  for (size_t row = 0; row < 16; ++row) {
    for (size_t i = 0; i < 64; ++i) ASSERT_EQ(target[row * 64 + i], row < 5 && i < 28 ? 7 : 9);
  }
  EmulatedTiles::Zero<2>();
  EmulatedTiles::Store<2>(target.data(), 64);
  EXPECT_EQ(target[0], 0);
}

void UseWithoutConfiguration() {
  EmulatedTiles::Release();
  EmulatedTiles::Zero<0>();
}

void ConfigureTooManyRows() {
  TileConfig config;
  config.Set(0, 17, 64);
  EmulatedTiles::Configure(config);
}

void MultiplyShapesThatDoNotFit() {
  TileConfig config = FullTiles();
  config.Set(2, 8, 64);
  EmulatedTiles::Configure(config);
  EmulatedTiles::DotBf16<0, 1, 2>();
}

TEST(EmulatedTilesDeathTest, WhatFaultsOnTheHardwareTraps) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(UseWithoutConfiguration(), "");
  EXPECT_DEATH(ConfigureTooManyRows(), "");
  EXPECT_DEATH(MultiplyShapesThatDoNotFit(), "");
}

}  // namespace
}  // namespace damask::kernels::amx
