#include "base/entropy.h"

#include <set>

#include <gtest/gtest.h>

namespace damask {
namespace {

TEST(Entropy, SeedsDifferAndUseBothHalves) {
  std::set<uint32_t> low;
  std::set<uint32_t> high;
  for (int i = 0; i < 16; ++i) {
    const uint64_t seed = RandomSeed();
    low.insert(static_cast<uint32_t>(seed));
    high.insert(static_cast<uint32_t>(seed >> 32));
  }
  EXPECT_GT(low.size(), 8u);
  EXPECT_GT(high.size(), 8u);
}

}  // namespace
}  // namespace damask
