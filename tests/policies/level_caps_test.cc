#include "policies/level_caps.h"

#include <gtest/gtest.h>

#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

class LevelCapsTest : public testing::Test {
 protected:
  LevelCapsTest() : text_(640, 1, 1), storage_(10, std::vector<std::byte>(layout_.bytes())) {
    for (const auto& page : storage_) pages_.push_back(page.data());
  }
  // The keys of a block become copies of the first of every `run`.
  void Repeat(uint64_t block, uint64_t run) {
    for (uint64_t p = block * 128; p < (block + 1) * 128; ++p) std::copy_n(text_.key(p / run * run), Text::kDim, text_.key(p));
  }
  KeyPages Keys() {
    for (uint64_t p = 0; p < text_.length(); ++p) {
      kernels::StoreSlot(layout_, storage_[p / 64].data(), p % 64, text_.key(p), text_.key(p));
    }
    return {pages_.data(), &layout_};
  }

  kernels::PageLayout layout_{Text::kDim, kernels::KvType::kF32};
  Text text_;
  std::vector<std::vector<std::byte>> storage_;
  std::vector<const std::byte*> pages_;
};

constexpr LikenessThresholds kThresholds = {0.75, 0.7, 0.7};

TEST_F(LevelCapsTest, TheCapIsTheCoarsestLevelWhoseKeysAreAlike) {
  Repeat(1, 2);
  Repeat(2, 4);
  Repeat(3, 8);
  // First and last of eight alike, the others not: levels are tested for themselves.
  for (uint64_t p = 512; p < 640; p += 8) std::copy_n(text_.key(p), Text::kDim, text_.key(p + 7));
  LevelCaps caps;
  caps.Append(Keys(), kThresholds, 0, 640);
  for (uint64_t block = 0; block < 4; ++block) EXPECT_EQ(caps.shift(block), block);
  EXPECT_EQ(caps.shift(4), 3);
}

TEST_F(LevelCapsTest, AThresholdIsPassedFromAbove) {
  std::fill(text_.keys.begin(), text_.keys.end(), 1.0f);
  LevelCaps caps;
  caps.Append(Keys(), {0.5, 0.5, 1.0}, 0, 128);
  EXPECT_EQ(caps.shift(0), 2);
  std::fill(text_.keys.begin(), text_.keys.end(), 0.0f);  // has no direction
  caps.Append(Keys(), {-0.5, 0.0, 0.5}, 0, 128);
  EXPECT_EQ(caps.shift(0), 1);
}

TEST_F(LevelCapsTest, ACutBlockIsMeasuredAgain) {
  LevelCaps caps;
  caps.Append(Keys(), kThresholds, 0, 640);
  EXPECT_EQ(caps.shift(1), 0);
  caps.Truncate(200);
  Repeat(1, 8);
  caps.Append(Keys(), kThresholds, 200, 300);
  EXPECT_EQ(caps.shift(1), 3);
}

TEST_F(LevelCapsTest, ABlockWithAReleasedPageIsNotPooled) {
  Repeat(1, 8);
  pages_[2] = nullptr;
  LevelCaps caps;
  Keys();
  caps.Append({pages_.data(), &layout_}, kThresholds, 0, 256);
  EXPECT_EQ(caps.shift(1), 0);
}

}  // namespace
}  // namespace damask::policies
