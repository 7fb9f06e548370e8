#include "batching/prefix_tree.h"

#include <gtest/gtest.h>

#include "tests/batching/prefix_cases.h"

namespace damask::batching::test {
namespace {

class PrefixTreeTest : public ::testing::Test {
 protected:
  // Keeps `blocks` blocks of the text and lets its cache go.
  static void Keep(PrefixTree* tree, std::span<const TokenId> ids, size_t blocks, model::PagePool* pool) {
    model::KvCache cache(SmallConfig(), pool);
    ASSERT_TRUE(tree->Append(ids, blocks, &cache).ok());
    Prefill(ids, blocks, &cache);
    tree->Insert(ids, blocks, cache);
  }
  void Keep(PrefixTree* tree, std::span<const TokenId> ids, size_t blocks) { Keep(tree, ids, blocks, &pool_); }
  // A limit that `blocks` blocks just fit into.
  uint64_t LimitOf(size_t blocks) {
    PrefixTree tree(uint64_t{1} << 30, kPages, &pool_);
    Keep(&tree, Text(1, 1), 1);
    return tree.bytes() * blocks;
  }

  model::PagePool pool_{kLayout};
};

TEST_F(PrefixTreeTest, GivesBackTheSamePagesBehindTheCachesLength) {
  PrefixTree tree(LimitOf(10), kPages, &pool_);
  const auto ids = Text(5, 1);
  Keep(&tree, ids, 5);
  EXPECT_EQ(pool_.bytes_in_use(), 5 * kBlockBytes);
  model::KvCache cache(SmallConfig(), &pool_);
  Prefill(ids, 2, &cache);
  ASSERT_TRUE(tree.Append(ids, 4, &cache).ok());
  EXPECT_EQ(cache.length(), 4 * kTokens);
  EXPECT_TRUE(HoldsText(cache, ids));
  EXPECT_EQ(pool_.bytes_in_use(), 7 * kBlockBytes);
}

TEST_F(PrefixTreeTest, P11OnlyWholeBlocksOfEqualIdsAreFound) {
  PrefixTree tree(LimitOf(10), kPages, &pool_);
  const auto ids = Text(4, 1);
  Keep(&tree, ids, 4);
  EXPECT_EQ(tree.Reach(ids, 4), 4u);
  for (const size_t at : {size_t{0}, size_t{63}, size_t{64}, size_t{130}, size_t{255}}) {
    auto other = ids;
    other[at] = (other[at] + 1) % static_cast<TokenId>(kVocab);
    EXPECT_EQ(tree.Reach(other, 4), at / kTokens) << "token " << at;
  }
}

TEST_F(PrefixTreeTest, TextsShareTheBlocksTheyHaveInCommon) {
  PrefixTree tree(LimitOf(10), kPages, &pool_);
  auto first = Text(4, 1);
  auto second = first;
  second[2 * kTokens + 5] ^= 1;
  Keep(&tree, first, 4);
  Keep(&tree, second, 4);
  EXPECT_EQ(tree.bytes(), LimitOf(6));
  EXPECT_EQ(pool_.bytes_in_use(), 6 * kBlockBytes);
  for (const auto& ids : {first, second}) {
    model::KvCache cache(SmallConfig(), &pool_);
    ASSERT_TRUE(tree.Append(ids, 4, &cache).ok());
    EXPECT_TRUE(HoldsText(cache, ids));
  }
}

TEST_F(PrefixTreeTest, LeastRecentlyUsedGoesFirstAndEndsBeforeBeginnings) {
  PrefixTree tree(LimitOf(6), kPages, &pool_);
  const auto a = Text(3, 1);
  const auto b = Text(3, 2);
  const auto c = Text(2, 3);
  Keep(&tree, a, 3);
  Keep(&tree, b, 3);
  model::KvCache cache(SmallConfig(), &pool_);
  ASSERT_TRUE(tree.Append(a, 3, &cache).ok());  // b is the older one now
  Keep(&tree, c, 2);
  EXPECT_EQ(tree.Reach(a, 3), 3u);
  EXPECT_EQ(tree.Reach(b, 3), 1u);
  EXPECT_EQ(tree.Reach(c, 2), 2u);
  EXPECT_EQ(tree.evicted_bytes(), LimitOf(2));
}

TEST_F(PrefixTreeTest, ABranchThatIsUsedKeepsItsStem) {
  PrefixTree tree(LimitOf(4), kPages, &pool_);
  auto first = Text(3, 1);
  auto second = first;
  second[2 * kTokens] ^= 1;
  Keep(&tree, first, 3);
  Keep(&tree, second, 3);
  Keep(&tree, Text(1, 9), 1);
  EXPECT_EQ(tree.Reach(first, 3), 2u);
  EXPECT_EQ(tree.Reach(second, 3), 3u);
}

TEST_F(PrefixTreeTest, P01WhatIsLongerThanTheLimitKeepsItsBeginning) {
  PrefixTree tree(LimitOf(4), kPages, &pool_);
  Keep(&tree, Text(3, 1), 3);
  const auto ids = Text(9, 2);
  Keep(&tree, ids, 9);
  EXPECT_EQ(tree.Reach(ids, 9), 4u);
  EXPECT_EQ(tree.Reach(Text(3, 1), 3), 0u);
}

TEST_F(PrefixTreeTest, P01P03NothingIsKeptWhereOneBlockDoesNotFit) {
  for (const uint64_t limit : {uint64_t{0}, kBlockBytes, LimitOf(1) - 1}) {
    PrefixTree tree(limit, kPages, &pool_);
    Keep(&tree, Text(3, 1), 3);
    EXPECT_EQ(tree.bytes(), 0u);
    EXPECT_EQ(pool_.bytes_in_use(), 0u);
  }
}

TEST_F(PrefixTreeTest, P01TheLimitHoldsAfterEveryStepOfARandomRun) {
  const uint64_t limit = LimitOf(12) + 100;
  PrefixTree tree(limit, kPages, &pool_);
  std::mt19937 random(7);
  for (int step = 0; step < 300; ++step) {
    auto ids = Text(8, random() % 4);
    if (random() % 2 == 0) ids[(random() % 8) * kTokens] = static_cast<TokenId>(random() % 3);
    Keep(&tree, ids, 1 + random() % 8);
    ASSERT_LE(tree.bytes(), limit);
    ASSERT_LE(pool_.bytes_in_use(), 12 * kBlockBytes);  // no running request holds anything here
    model::KvCache cache(SmallConfig(), &pool_);
    ASSERT_TRUE(tree.Append(ids, 8, &cache).ok());
    ASSERT_TRUE(HoldsText(cache, ids));
  }
  EXPECT_GT(tree.evicted_bytes(), 0u);
}

TEST_F(PrefixTreeTest, StopsBeforeAPageThatWasReleased) {
  PrefixTree tree(LimitOf(9), kPages, &pool_);
  const auto ids = Text(4, 1);
  model::KvCache cache(SmallConfig(), &pool_);
  Prefill(ids, 4, &cache);
  cache.Release(1, 1, 2, /*policy_id=*/1);
  tree.Insert(ids, 4, cache);
  EXPECT_EQ(tree.Reach(ids, 4), 2u);
}

TEST_F(PrefixTreeTest, APromptOfMillionsOfTokensIsKeptAndLetGo) {
  constexpr size_t kBlocks = 60000;
  const std::vector<TokenId> ids(kBlocks * kTokens, 5);
  {
    model::KvCache cache(SmallConfig(), &pool_);
    Prefill(ids, 1, &cache);
    std::vector<std::byte*> pages;
    ASSERT_TRUE(cache.BlockPages(0, &pages));
    // The same pages again and again: only the depth matters here.
    while (cache.length() < ids.size()) ASSERT_TRUE(cache.AppendShared(pages).ok());
    PrefixTree tree(~uint64_t{0}, kPages, &pool_);
    tree.Insert(ids, kBlocks, cache);
    EXPECT_EQ(tree.Reach(ids, kBlocks), kBlocks);
  }
  EXPECT_EQ(pool_.bytes_in_use(), 0u);
}

}  // namespace
}  // namespace damask::batching::test
