// What the store promises: the right pages, from memory and from disk, and no more of them than may be used.
#include "batching/prefix_store.h"

#include <gtest/gtest.h>

#include "tests/batching/prefix_store_fixture.h"

namespace damask::batching::test {
namespace {

TEST_F(PrefixStoreTest, SharesWhatIsInMemory) {
  const auto store = OpenMemory();
  const auto prompt = Text(5, 1);
  Read(store.get(), prompt, 5);
  EXPECT_EQ(store->Longest(prompt), 5 * kTokens);
  EXPECT_EQ(Restored(store.get(), prompt), 5);
  EXPECT_EQ(pool_.bytes_in_use(), 5 * kBlockBytes);
  const PrefixStats stats = store->stats();
  EXPECT_EQ(stats.tokens_from_memory, 5 * kTokens);
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_EQ(stats.misses, 1u);
  EXPECT_EQ(stats.disk_bytes, 0u);
}

TEST_F(PrefixStoreTest, WhoWritesOnBehindASharedPrefixLeavesItAsItIs) {
  const auto store = OpenMemory();
  const auto prompt = Text(3, 1);
  Read(store.get(), prompt, 3);
  model::KvCache cache(SmallConfig(), &pool_);
  ASSERT_TRUE(store->Restore(prompt, &cache).ok());
  cache.Truncate(2 * kTokens + 10);
  ASSERT_TRUE(cache.Reserve(3 * kTokens).ok());
  for (size_t layer = 0; layer < kLayers; ++layer) std::memset(cache.page(layer, 0, 2), 0x77, kLayout.bytes());
  EXPECT_EQ(Restored(store.get(), prompt), 3);
}

TEST_F(PrefixStoreTest, P04WhatIsOnDiskIsThereAfterARestart) {
  const auto prompt = Text(5, 1);
  Read(OpenDisk().get(), prompt, 5);
  EXPECT_EQ(pool_.bytes_in_use(), 0u);
  const auto store = OpenDisk();
  EXPECT_EQ(Restored(store.get(), prompt), 5);
  EXPECT_EQ(store->stats().tokens_from_disk, 5 * kTokens);
  EXPECT_EQ(store->stats().disk_bytes, BytesOnDisk());
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(PrefixStoreTest, WhatCameFromDiskIsInMemoryAfterwards) {
  const auto prompt = Text(5, 1);
  Read(OpenDisk().get(), prompt, 5);
  const auto store = Open({.directory = directory()});
  EXPECT_EQ(Restored(store.get(), prompt), 5);
  EXPECT_EQ(Restored(store.get(), prompt), 5);
  EXPECT_EQ(store->stats().tokens_from_disk, 5 * kTokens);
  EXPECT_EQ(store->stats().tokens_from_memory, 5 * kTokens);
}

TEST_F(PrefixStoreTest, DiskGoesOnBehindMemory) {
  const auto prompt = Text(6, 1);
  Read(OpenDisk().get(), prompt, 6);
  const auto store = Open({.memory_bytes = 3 * kBlockBytes, .directory = directory()});  // two blocks and their bookkeeping
  EXPECT_EQ(Restored(store.get(), prompt), 6);
  EXPECT_EQ(Restored(store.get(), prompt), 6);
  EXPECT_EQ(store->stats().tokens_from_memory, 2 * kTokens);
  EXPECT_EQ(store->stats().tokens_from_disk, 10 * kTokens);
}

TEST_F(PrefixStoreTest, ALongPrefixComesFromDiskInPieces) {
  const auto prompt = Text(5, 1);
  Read(OpenDisk().get(), prompt, 5);
  for (const uint64_t blocks : {2, 1, 0}) {  // one at least
    const auto store = Open({.memory_bytes = 0, .directory = directory(), .read_bytes = blocks * kBlockBytes});
    model::KvCache cache(SmallConfig(), &pool_);
    for (uint64_t end = 0; end < 5;) {
      end = std::min<uint64_t>(5, end + std::max<uint64_t>(1, blocks));
      EXPECT_EQ(store->Longest(prompt), 5 * kTokens);
      const Result<uint64_t> length = store->Restore(prompt, &cache);
      ASSERT_TRUE(length.ok()) << length.status().ToString();
      ASSERT_EQ(*length, end * kTokens);
    }
    EXPECT_TRUE(HoldsText(cache, prompt));
    EXPECT_EQ(store->stats().tokens_from_disk, 5 * kTokens);
    EXPECT_EQ(store->stats().hits, 1u);
    EXPECT_EQ(store->stats().misses, 0u);
  }
}

TEST_F(PrefixStoreTest, APromptKeptInPiecesHasAFileForEachAndComesBackWhole) {
  const auto prompt = Text(7, 1);
  {
    const auto store = OpenDisk();
    for (const size_t blocks : {2, 3, 7, 7}) Read(store.get(), prompt, blocks);
  }
  EXPECT_EQ(Files().size(), 3u);
  const auto store = OpenDisk();
  EXPECT_EQ(Restored(store.get(), prompt), 7);
}

TEST_F(PrefixStoreTest, TextsThatBranchOffWriteOnlyWhatIsTheirs) {
  const auto first = Text(6, 1);
  auto second = first;
  second[4 * kTokens] ^= 1;
  {
    const auto store = OpenDisk();
    Read(store.get(), first, 6);
    Read(store.get(), second, 6);
    EXPECT_EQ(store->stats().disk_bytes, FileBytes(6) + FileBytes(6) - 4 * kBlockBytes);
  }
  const auto store = OpenDisk();
  EXPECT_EQ(Restored(store.get(), first), 6);
  EXPECT_EQ(Restored(store.get(), second), 6);
}

TEST_F(PrefixStoreTest, P11AtLeastOneTokenIsLeftAndOnlyWholeBlocksCount) {
  const auto prompt = Text(4, 1);
  const auto store = Open({.directory = directory()});
  Read(store.get(), prompt, 4);
  EXPECT_EQ(Restored(store.get(), std::span(prompt).first(4 * kTokens)), 3);
  EXPECT_EQ(Restored(store.get(), std::span(prompt).first(3 * kTokens + 63)), 3);
  EXPECT_EQ(Restored(store.get(), std::span(prompt).first(kTokens)), 0);
  EXPECT_EQ(Restored(store.get(), {}), 0);
  auto other = prompt;
  other[2 * kTokens - 1] ^= 1;
  EXPECT_EQ(Restored(store.get(), other), 1);
}

TEST_F(PrefixStoreTest, ACacheThatIsNoWholeBlocksOrLongerThanThePromptIsAnError) {
  const auto store = OpenMemory();
  const auto prompt = Text(2, 1);
  model::KvCache cache(SmallConfig(), &pool_);
  ASSERT_TRUE(cache.Reserve(10).ok());
  cache.Commit(10);
  EXPECT_FALSE(store->Restore(prompt, &cache).ok());
  EXPECT_EQ(cache.length(), 10u);
  Prefill(prompt, 2, &cache);
  EXPECT_FALSE(store->Restore(std::span(prompt).first(70), &cache).ok());
}

TEST_F(PrefixStoreTest, ACacheThatHasABeginningGetsTheRest) {
  const auto prompt = Text(6, 1);
  Read(OpenDisk().get(), prompt, 6);
  const auto store = Open({.directory = directory()});
  model::KvCache cache(SmallConfig(), &pool_);
  Prefill(prompt, 2, &cache);
  ASSERT_TRUE(cache.Reserve(5 * kTokens).ok());  // room that is not needed
  const auto length = store->Restore(prompt, &cache);
  ASSERT_TRUE(length.ok());
  EXPECT_EQ(*length, 6 * kTokens);
  EXPECT_TRUE(HoldsText(cache, prompt));
}

TEST_F(PrefixStoreTest, PagesBeingWrittenAreHeldUntilTheyAreTakenBack) {
  const auto store = OpenDisk();
  const auto prompt = Text(5, 1);
  {
    model::KvCache cache(SmallConfig(), &pool_);
    Prefill(prompt, 5, &cache);
    store->Keep(prompt, cache, 5 * kTokens);
  }
  store->Flush();
  EXPECT_EQ(pool_.bytes_in_use(), 0u);
  EXPECT_EQ(Restored(store.get(), prompt), 5);
}

TEST_F(PrefixStoreTest, ClosingGivesBackWhatWasNotYetWritten) {
  {
    const auto store = OpenDisk();
    for (uint32_t seed = 0; seed < 8; ++seed) {
      const auto prompt = Text(4, seed);
      model::KvCache cache(SmallConfig(), &pool_);
      Prefill(prompt, 4, &cache);
      store->Keep(prompt, cache, 4 * kTokens);
    }
  }
  EXPECT_EQ(pool_.bytes_in_use(), 0u);
  EXPECT_TRUE(warnings_.empty());
  const auto store = OpenDisk();
  for (uint32_t seed = 0; seed < 8; ++seed) {
    const int blocks = Restored(store.get(), Text(4, seed));
    EXPECT_TRUE(blocks == 0 || blocks == 4);
  }
}

TEST_F(PrefixStoreTest, OnlyWhatTheCallerSaysIsKept) {
  const auto store = Open({.directory = directory()});
  const auto prompt = Text(5, 1);
  model::KvCache cache(SmallConfig(), &pool_);
  Prefill(prompt, 5, &cache);
  store->Keep(prompt, cache, 2 * kTokens + 63);
  EXPECT_EQ(store->Longest(prompt), 2 * kTokens);
  store->Keep(prompt, cache, 10 * kTokens);
  EXPECT_EQ(store->Longest(prompt), 5 * kTokens);
}

TEST_F(PrefixStoreTest, TheFoldersAboveAreMadeAndTheLastIsItsOwnersOnly) {
  namespace fs = std::filesystem;
  const std::string above = folder_.File("cache/damask");
  const auto store = Open({.memory_bytes = 0, .directory = above + "/kv/"});
  ASSERT_TRUE(store);
  Read(store.get(), Text(1, 1), 1);
  EXPECT_EQ(fs::status(above + "/kv").permissions(), fs::perms::owner_all);
  EXPECT_FALSE(fs::is_empty(above + "/kv"));
}

}  // namespace
}  // namespace damask::batching::test
