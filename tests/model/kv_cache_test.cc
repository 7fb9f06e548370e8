#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

namespace damask::model {
namespace {

ModelConfig SmallConfig() {
  ModelConfig config;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 64;
  return config;
}

TEST(KvCache, GrowsByWholePages) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  ASSERT_TRUE(cache.Reserve(1).ok());
  EXPECT_EQ(cache.bytes(), 3u * 2 * pool.layout().bytes());
  ASSERT_TRUE(cache.Reserve(64).ok());
  EXPECT_EQ(cache.bytes(), 3u * 2 * pool.layout().bytes());
  ASSERT_TRUE(cache.Reserve(65).ok());
  EXPECT_EQ(cache.bytes(), 2u * 3 * 2 * pool.layout().bytes());
  EXPECT_EQ(pool.bytes_in_use(), cache.bytes());
}

TEST(KvCache, BytesPerTokenIsWhatAFullPageCosts) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  ASSERT_TRUE(cache.Reserve(640).ok());
  EXPECT_EQ(cache.bytes(), 640 * KvCache::BytesPerToken(SmallConfig(), kernels::KvType::kBf16));
}

TEST(KvCache, PagesOfDifferentHeadsAreDifferentMemory) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  ASSERT_TRUE(cache.Reserve(128).ok());
  std::vector<const std::byte*> pages;
  for (size_t layer = 0; layer < 3; ++layer) {
    for (size_t head = 0; head < 2; ++head) {
      for (size_t block = 0; block < 2; ++block) pages.push_back(cache.pages(layer, head)[block]);
    }
  }
  std::sort(pages.begin(), pages.end());
  for (size_t i = 1; i < pages.size(); ++i) EXPECT_GE(static_cast<size_t>(pages[i] - pages[i - 1]), pool.layout().bytes());
}

TEST(KvCache, TruncatedPagesComeBackZeroed) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  ASSERT_TRUE(cache.Reserve(128).ok());
  cache.Commit(128);
  std::memset(cache.page(2, 1, 1), 0xff, pool.layout().bytes());
  cache.Truncate(64);
  EXPECT_EQ(cache.length(), 64u);
  ASSERT_TRUE(cache.Reserve(128).ok());
  for (size_t layer = 0; layer < 3; ++layer) {
    for (size_t head = 0; head < 2; ++head) {
      const std::byte* page = cache.pages(layer, head)[1];
      EXPECT_TRUE(std::all_of(page, page + pool.layout().bytes(), [](std::byte b) { return b == std::byte{0}; }));
    }
  }
}

TEST(KvCache, GivesItsPagesBackWhenItGoes) {
  PagePool pool({64, kernels::KvType::kBf16});
  {
    KvCache cache(SmallConfig(), &pool);
    ASSERT_TRUE(cache.Reserve(1000).ok());
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

}  // namespace
}  // namespace damask::model
