#include "base/aligned.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace damask {
namespace {

TEST(AlignedArray, StartsAtACacheLine) {
  for (const size_t count : {1, 3, 64, 1000}) {
    AlignedArray<float> array(count);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array.data()) % kCacheLine, 0u);
    EXPECT_EQ(array.size(), count);
    EXPECT_EQ(array.bytes(), count * 4);
    array[count - 1] = 1.0f;
  }
}

TEST(AlignedArray, ASizeThatWrapsIsRefused) {
  EXPECT_THROW(AlignedArray<double>(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW(AlignedArray<double>(SIZE_MAX / sizeof(double)), std::bad_alloc);
}

TEST(AlignedArray, AMovedFromOneIsEmpty) {
  AlignedArray<int> first(5);
  first[4] = 9;
  AlignedArray<int> second(std::move(first));
  EXPECT_EQ(first.size(), 0u);  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_EQ(second[4], 9);
  first = std::move(second);
  EXPECT_EQ(second.size(), 0u);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.size(), 5u);
}

TEST(AlignedArray, ReserveGrowsAndNeverShrinks) {
  AlignedArray<int> array;
  array.Reserve(10);
  EXPECT_EQ(array.size(), 10u);
  const int* before = array.data();
  array.Reserve(4);
  EXPECT_EQ(array.size(), 10u);
  EXPECT_EQ(array.data(), before);
}

}  // namespace
}  // namespace damask
