#include "base/checked.h"

#include <gtest/gtest.h>

namespace damask {
namespace {

constexpr uint64_t kMax = UINT64_MAX;

TEST(Checked, AddGivesNothingWhereItWouldWrap) {
  EXPECT_EQ(CheckedAdd(2, 3), 5u);
  EXPECT_EQ(CheckedAdd(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedAdd(kMax, kMax), std::nullopt);
}

TEST(Checked, MulGivesNothingWhereItWouldWrap) {
  EXPECT_EQ(CheckedMul(0, kMax), 0u);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1), kMax - 0xffffffffu);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedMul((uint64_t{1} << 42) + 1, uint64_t{1} << 22), std::nullopt);
}

TEST(Checked, AlignUpGivesTheNextMultipleOrNothing) {
  EXPECT_EQ(CheckedAlignUp(0, 32), 0u);
  EXPECT_EQ(CheckedAlignUp(1, 32), 32u);
  EXPECT_EQ(CheckedAlignUp(32, 32), 32u);
  EXPECT_EQ(CheckedAlignUp(33, 1), 33u);
  EXPECT_EQ(CheckedAlignUp(kMax - 31, 32), kMax - 31);
  EXPECT_EQ(CheckedAlignUp(kMax - 30, 32), std::nullopt);
}

TEST(Checked, CeilDivDoesNotWrapAtTheTop) {
  EXPECT_EQ(CeilDiv(0, 7), 0u);
  EXPECT_EQ(CeilDiv(7, 7), 1u);
  EXPECT_EQ(CeilDiv(8, 7), 2u);
  EXPECT_EQ(CeilDiv(kMax, 2), (uint64_t{1} << 63));
}

}  // namespace
}  // namespace damask
