#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tests/failing_new.h"

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

std::vector<std::byte*> Pages(const KvCache& cache, size_t block) {
  std::vector<std::byte*> pages;
  EXPECT_TRUE(cache.BlockPages(block, &pages));
  return pages;
}

// One block in which every page has a byte value of its own.
void FillBlock(KvCache* cache, size_t page_bytes) {
  ASSERT_TRUE(cache->Reserve(64).ok());
  int value = 1;
  for (std::byte* page : Pages(*cache, 0)) std::memset(page, value++, page_bytes);
  cache->Commit(64);
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

TEST(KvCache, EightBitPagesTakeABitMoreThanHalf) {
  PagePool pool({64, kernels::KvType::kQ8});
  KvCache cache(SmallConfig(), &pool);
  ASSERT_TRUE(cache.Reserve(640).ok());
  const uint64_t per_token = KvCache::BytesPerToken(SmallConfig(), kernels::KvType::kQ8);
  EXPECT_EQ(cache.bytes(), 640 * per_token);
  EXPECT_EQ(per_token, 3u * 2 * 2 * (64 + 2 * 2));  // numbers, and two scales of two bytes
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

TEST(KvCache, WhereAChunkIsWrittenWholeOnlyItsLastPageIsCleared) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  const auto is_zero = [&](size_t block) {
    const std::byte* const page = cache.pages(2, 1)[block];
    return std::all_of(page, page + pool.layout().bytes(), [](std::byte b) { return b == std::byte{0}; });
  };
  const auto spoil = [&] {
    ASSERT_TRUE(cache.Reserve(256).ok());
    for (size_t block = cache.length() / 64; block < 4; ++block) {
      for (size_t head = 0; head < 6; ++head) std::memset(cache.page(head / 2, head % 2, block), 0xff, pool.layout().bytes());
    }
  };
  spoil();
  // What was reserved and never committed is no page of the new chunk's.
  ASSERT_TRUE(cache.Reserve(100, PageStart::kAnything).ok());
  EXPECT_FALSE(is_zero(0));
  EXPECT_TRUE(is_zero(1));
  EXPECT_EQ(pool.bytes_in_use(), 2u * 6 * pool.layout().bytes());
  cache.Commit(64);
  spoil();
  ASSERT_TRUE(cache.Reserve(192, PageStart::kAnything).ok());
  EXPECT_FALSE(is_zero(1));
  EXPECT_FALSE(is_zero(2));
  EXPECT_EQ(cache.bytes(), 3u * 6 * pool.layout().bytes());
}

// With 0, 1, 2, ... allocations until it comes through: what fails changes nothing and loses no page.
TEST(KvCache, ReserveWithoutMemoryLeavesItAsItWas) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  FillBlock(&cache, pool.layout().bytes());
  const std::vector<std::byte*> before = Pages(cache, 0);
  bool done = false;
  size_t failed = 0;
  for (; !done; ++failed) {
    try {
      const test::FailingNew failing(failed);
      done = cache.Reserve(9 * 64).ok();
    } catch (const std::bad_alloc&) {  // of the sentence that says so
    }
    ASSERT_EQ(cache.length(), 64u);
    ASSERT_EQ(Pages(cache, 0), before);
    ASSERT_EQ(cache.bytes(), (done ? 9u : 1u) * 6 * pool.layout().bytes()) << failed;
    ASSERT_EQ(pool.bytes_in_use(), cache.bytes()) << failed;
  }
  EXPECT_GT(failed, 7u);  // every table grows at least
  cache.Truncate(0);
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(PagePool, ASlabThatCannotBeNotedIsNotTaken) {
  PagePool pool({64, kernels::KvType::kBf16});
  size_t failed = 0;
  for (;; ++failed) {
    const test::FailingNew failing(failed);
    if (pool.Allocate() != nullptr) break;
  }
  EXPECT_GE(failed, 2u);
  EXPECT_EQ(pool.bytes_in_use(), pool.layout().bytes());
  EXPECT_EQ(pool.bytes_held(), size_t{2} << 20);
}

TEST(KvCache, GivesItsPagesBackWhenItGoes) {
  PagePool pool({64, kernels::KvType::kBf16});
  {
    KvCache cache(SmallConfig(), &pool);
    ASSERT_TRUE(cache.Reserve(1000).ok());
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

bool Holds(const std::byte* page, size_t bytes, int value) {
  return std::all_of(page, page + bytes, [&](std::byte b) { return b == static_cast<std::byte>(value); });
}

TEST(KvCache, SharedPagesAreOneMemoryAndGoWithTheirLastOwner) {
  PagePool pool({64, kernels::KvType::kBf16});
  const uint64_t block_bytes = 3u * 2 * pool.layout().bytes();
  auto first = std::make_unique<KvCache>(SmallConfig(), &pool);
  FillBlock(first.get(), pool.layout().bytes());
  {
    KvCache second(SmallConfig(), &pool);
    ASSERT_TRUE(second.AppendShared(Pages(*first, 0)).ok());
    EXPECT_EQ(second.length(), 64u);
    EXPECT_EQ(second.bytes(), block_bytes);
    EXPECT_EQ(pool.bytes_in_use(), block_bytes);
    for (size_t layer = 0; layer < 3; ++layer) {
      for (size_t head = 0; head < 2; ++head) EXPECT_EQ(second.pages(layer, head)[0], first->pages(layer, head)[0]);
    }
    first.reset();
    EXPECT_EQ(pool.bytes_in_use(), block_bytes);
    EXPECT_TRUE(Holds(second.pages(2, 1)[0], pool.layout().bytes(), 6));
    EXPECT_FALSE(pool.shared(second.pages(0, 0)[0]));
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(KvCache, WritingIntoASharedBlockCopiesIt) {
  PagePool pool({64, kernels::KvType::kBf16});
  const size_t page_bytes = pool.layout().bytes();
  KvCache first(SmallConfig(), &pool);
  FillBlock(&first, page_bytes);
  KvCache second(SmallConfig(), &pool);
  ASSERT_TRUE(second.AppendShared(Pages(first, 0)).ok());
  second.Truncate(63);
  EXPECT_EQ(second.pages(0, 0)[0], first.pages(0, 0)[0]);  // reading needs no copy
  ASSERT_TRUE(second.Reserve(64).ok());
  const std::vector<std::byte*> own = Pages(second, 0);
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_NE(own[i], Pages(first, 0)[i]);
    EXPECT_TRUE(Holds(own[i], page_bytes, static_cast<int>(i) + 1));
    std::memset(own[i], 0xee, page_bytes);
  }
  EXPECT_TRUE(Holds(first.pages(1, 1)[0], page_bytes, 4));
  // Both are alone with their pages now: no further copy.
  first.Truncate(10);
  const std::vector<std::byte*> before = Pages(first, 0);
  ASSERT_TRUE(first.Reserve(70).ok());
  EXPECT_EQ(Pages(first, 0), before);
}

TEST(KvCache, OnlyPagesWithOtherOwnersAreCopiedAndFullBlocksNever) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache cache(SmallConfig(), &pool);
  FillBlock(&cache, pool.layout().bytes());
  const std::vector<std::byte*> before = Pages(cache, 0);
  ASSERT_TRUE(pool.Ref(before[3]));
  ASSERT_TRUE(cache.Reserve(100).ok());  // goes on behind the block
  EXPECT_EQ(Pages(cache, 0), before);
  cache.Truncate(40);
  ASSERT_TRUE(cache.Reserve(41).ok());
  const std::vector<std::byte*> after = Pages(cache, 0);
  for (size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i] == before[i], i != 3) << i;
  pool.Free(before[3]);
  EXPECT_EQ(pool.bytes_in_use(), cache.bytes());
}

TEST(KvCache, ReleasingASharedPageLeavesItToTheOthers) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache first(SmallConfig(), &pool);
  FillBlock(&first, pool.layout().bytes());
  KvCache second(SmallConfig(), &pool);
  ASSERT_TRUE(second.AppendShared(Pages(first, 0)).ok());
  second.Release(1, 0, 0, /*policy_id=*/1);
  std::vector<std::byte*> pages;
  EXPECT_FALSE(second.BlockPages(0, &pages));
  EXPECT_TRUE(Holds(first.pages(1, 0)[0], pool.layout().bytes(), 3));
  EXPECT_EQ(pool.bytes_in_use(), first.bytes());
  second.Truncate(40);
  ASSERT_TRUE(second.Reserve(64).ok());  // a page that is gone is not copied
  EXPECT_EQ(second.pages(1, 0)[0], nullptr);
}

TEST(KvCache, SharedPagesComeOnlyBehindWholeBlocksAndAllAtOnce) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache first(SmallConfig(), &pool);
  FillBlock(&first, pool.layout().bytes());
  const std::vector<std::byte*> pages = Pages(first, 0);
  KvCache second(SmallConfig(), &pool);
  EXPECT_FALSE(second.AppendShared(std::span(pages).first(5)).ok());
  ASSERT_TRUE(second.Reserve(1).ok());
  EXPECT_FALSE(second.AppendShared(pages).ok());  // something is reserved where they would go
  second.Commit(1);
  EXPECT_FALSE(second.AppendShared(pages).ok());
  EXPECT_EQ(second.length(), 1u);
  EXPECT_FALSE(pool.shared(pages[0]));
}

TEST(KvCache, ThePolicysStateStaysBehindSharedPages) {
  PagePool pool({64, kernels::KvType::kBf16});
  KvCache first(SmallConfig(), &pool);
  FillBlock(&first, pool.layout().bytes());
  KvCache second(SmallConfig(), &pool);
  ASSERT_TRUE(second.AppendShared(Pages(first, 0)).ok());
  EXPECT_EQ(second.state_length(), 0u);
  second.set_state_length(64);
  ASSERT_TRUE(second.AppendShared(Pages(first, 0)).ok());
  EXPECT_EQ(second.state_length(), 64u);
  EXPECT_EQ(second.length(), 128u);
}

TEST(KvCache, ASharedCacheHoldsTheSameTextAndGoesItsOwnWay) {
  PagePool pool({64, kernels::KvType::kBf16});
  const size_t page_bytes = pool.layout().bytes();
  KvCache first(SmallConfig(), &pool);
  FillBlock(&first, page_bytes);
  ASSERT_TRUE(first.Reserve(100).ok());
  first.Commit(100);
  const std::vector<std::byte*> last = Pages(first, 1);
  KvCache second(SmallConfig(), &pool);
  ASSERT_TRUE(second.Share(first).ok());
  EXPECT_EQ(second.length(), 100u);
  EXPECT_EQ(second.state_length(), 0u);
  EXPECT_EQ(Pages(second, 0), Pages(first, 0));
  EXPECT_EQ(Pages(second, 1), last);
  EXPECT_EQ(pool.bytes_in_use(), first.bytes());
  // Whoever writes first takes a copy; the other keeps the page.
  ASSERT_TRUE(first.Reserve(101).ok());
  EXPECT_NE(Pages(first, 1), last);
  ASSERT_TRUE(second.Reserve(101).ok());
  EXPECT_EQ(Pages(second, 1), last);
  EXPECT_FALSE(second.Share(first).ok());  // not empty
  first.Release(0, 0, 0, /*policy_id=*/1);
  KvCache third(SmallConfig(), &pool);
  EXPECT_EQ(third.Share(first).code(), StatusCode::kUnsupported);
  EXPECT_EQ(third.length(), 0u);
  EXPECT_EQ(third.bytes(), 0u);
}

}  // namespace
}  // namespace damask::model
