#include "report/progress.h"

#include <gtest/gtest.h>

namespace damask::report {
namespace {

TEST(ProgressText, HasBarRateAndTimeLeft) {
  EXPECT_EQ(ProgressText(12288, 36864, 8, "tokens"),
            "reading [========>               ] 12288/36864 tokens, 1536 tokens/s, 16.0s left");
}

// A line of two rows could not be wiped.
TEST(ProgressText, FitsTheTerminal) {
  const std::string all = ProgressText(107822, 1960400, 2.5, "characters");
  EXPECT_GT(all.size(), 79u);
  EXPECT_EQ(ProgressText(107822, 1960400, 2.5, "characters", 79),
            "reading [>          ] 107822/1960400 characters, 43129 characters/s, 43.0s left");
  EXPECT_EQ(ProgressText(107822, 1960400, 2.5, "characters", 71),
            "reading 107822/1960400 characters, 43129 characters/s, 43.0s left");
  for (size_t columns = 1; columns < all.size(); ++columns) {
    EXPECT_LE(ProgressText(107822, 1960400, 2.5, "characters", columns).size(), columns);
  }
}

TEST(ProgressText, NoRateWhereItWouldReadAs0) {
  const std::string text = ProgressText(3, 45, 36, "steps");
  EXPECT_EQ(text.find("steps/s"), std::string::npos) << text;
  EXPECT_NE(text.find("3/45 steps, 8m24s left"), std::string::npos) << text;
}

}  // namespace
}  // namespace damask::report
