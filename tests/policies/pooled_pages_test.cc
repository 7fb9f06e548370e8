#include "policies/pooled_pages.h"

#include <gtest/gtest.h>

#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

class PooledPagesTest : public testing::Test {
 protected:
  PooledPagesTest() : text_(700, 1, 1), storage_(11, std::vector<std::byte>(layout_.bytes())) {
    for (const auto& page : storage_) pages_.push_back(page.data());
    Store();
  }
  void Store() {
    for (uint64_t p = 0; p < text_.length(); ++p) {
      kernels::StoreSlot(layout_, storage_[p / 64].data(), p % 64, text_.key(p), text_.query(p));
    }
  }
  KeyPages keys() const { return {pages_.data(), &layout_}; }
  // Every mean of the complete blocks of [0, end), against the keys and values themselves.
  void ExpectMeans(const PooledPages& pooled, uint64_t end) {
    ASSERT_EQ(pooled.blocks(), end / kPyramidBlock);
    std::vector<float> key(Text::kDim);
    std::vector<float> value(Text::kDim);
    for (size_t shift = 1; shift <= kernels::kMaxPoolShift; ++shift) {
      for (uint64_t slot = 0; (slot + 1) << shift <= pooled.blocks() * kPyramidBlock; ++slot) {
        kernels::LoadKey(layout_, pooled.pages(shift)[slot / 64], slot % 64, key.data());
        kernels::LoadValue(layout_, pooled.pages(shift)[slot / 64], slot % 64, value.data());
        for (size_t d = 0; d < Text::kDim; ++d) {
          float key_sum = 0;
          float value_sum = 0;
          for (uint64_t p = slot << shift; p < (slot + 1) << shift; ++p) {
            key_sum += text_.key(p)[d];
            value_sum += text_.query(p)[d];
          }
          ASSERT_NEAR(key[d], key_sum / static_cast<float>(1u << shift), 1e-5f) << "shift " << shift << " slot " << slot;
          ASSERT_NEAR(value[d], value_sum / static_cast<float>(1u << shift), 1e-5f) << "shift " << shift << " slot " << slot;
        }
      }
    }
  }

  kernels::PageLayout layout_{Text::kDim, kernels::KvType::kF32};
  Text text_;
  std::vector<std::vector<std::byte>> storage_;
  std::vector<const std::byte*> pages_;
};

TEST_F(PooledPagesTest, CompleteBlocksArePooledHoweverTheKeysCome) {
  PooledPages bulk;
  bulk.Append(keys(), 0, 700);
  ExpectMeans(bulk, 700);
  PooledPages grown;
  for (const auto& [first, end] :
       std::vector<std::pair<uint64_t, uint64_t>>{{0, 5}, {5, 127}, {127, 128}, {128, 400}, {400, 700}}) {
    grown.Append(keys(), first, end);
    ExpectMeans(grown, end);
  }
}

TEST_F(PooledPagesTest, ACutBlockIsPooledAgainFromWhatComesInstead) {
  PooledPages pooled;
  pooled.Append(keys(), 0, 700);
  pooled.Truncate(500);
  EXPECT_EQ(pooled.blocks(), 3u);
  for (uint64_t p = 500; p < 700; ++p) std::fill_n(text_.key(p), Text::kDim, 7.0f);
  Store();
  pooled.Append(keys(), 500, 511);
  ExpectMeans(pooled, 511);
  pooled.Append(keys(), 511, 700);
  ExpectMeans(pooled, 700);
}

// A half, a quarter and an eighth of the pages that are pooled.
TEST_F(PooledPagesTest, CostsSevenEighthsOfTheCache) {
  PooledPages pooled;
  EXPECT_EQ(pooled.bytes(), 0u);
  pooled.Append(keys(), 0, 512);
  EXPECT_EQ(pooled.bytes(), 7 * layout_.bytes());
  pooled.Truncate(256);
  EXPECT_EQ(pooled.bytes(), (2 + 1 + 1) * layout_.bytes());
}

TEST_F(PooledPagesTest, OfReleasedPagesNothingIsPooled) {
  pages_[2] = nullptr;
  PooledPages pooled;
  pooled.Append(keys(), 0, 256);
  std::vector<float> key(Text::kDim);
  kernels::LoadKey(layout_, pooled.pages(1)[1], 0, key.data());
  EXPECT_EQ(key, std::vector<float>(Text::kDim, 0.0f));
  kernels::LoadKey(layout_, pooled.pages(1)[1], 32, key.data());
  EXPECT_NE(key, std::vector<float>(Text::kDim, 0.0f));
}

}  // namespace
}  // namespace damask::policies
