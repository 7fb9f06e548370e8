// How much is kept on disk, and what goes first.
#include <chrono>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/batching/prefix_store_fixture.h"

namespace damask::batching::test {
namespace {

namespace fs = std::filesystem;

TEST_F(PrefixStoreTest, P01TheDiskLimitHoldsAfterEveryStepOfARandomRun) {
  const uint64_t limit = FileBytes(12);
  std::mt19937 random(3);
  uint64_t evicted = 0;
  auto store = OpenDisk(limit);
  for (int step = 0; step < 60; ++step) {
    auto prompt = Text(6, random() % 5);
    if (random() % 2 == 0) prompt[(random() % 6) * kTokens] ^= 1;
    Read(store.get(), prompt, 1 + random() % 6);
    ASSERT_LE(BytesOnDisk(), limit);
    ASSERT_EQ(store->stats().disk_bytes, BytesOnDisk());
    ASSERT_GE(Restored(store.get(), prompt), 0);
    evicted += step % 20 == 19 ? store->stats().evicted_bytes : 0;
    if (step % 20 == 19) store = OpenDisk(limit);
  }
  EXPECT_GT(evicted, 0u);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(PrefixStoreTest, P01WhatCannotFitIsNotWrittenAndNothingMakesRoomForIt) {
  const auto store = OpenDisk(FileBytes(4));
  Read(store.get(), Text(3, 1), 3);
  Read(store.get(), Text(5, 2), 5);
  EXPECT_EQ(Restored(store.get(), Text(3, 1)), 3);
  EXPECT_EQ(Restored(store.get(), Text(5, 2)), 0);
}

// What is only asked frees nothing: pages go back when the owner of the pool says so.
TEST_F(PrefixStoreTest, PagesOfWrittenFilesGoBackByCollectAlone) {
  const auto store = OpenDisk();
  for (const uint32_t seed : {1, 2}) {
    const auto prompt = Text(3, seed);
    model::KvCache cache(SmallConfig(), &pool_);
    Prefill(prompt, 3, &cache);
    store->Keep(prompt, cache, cache.length());
  }
  const uint64_t queued = pool_.bytes_in_use();
  ASSERT_GT(queued, 0u);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (Files().size() < 2) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  // Of the second file the writer may still be busy, with the first one it is done.
  static_cast<void>(store->stats());
  EXPECT_EQ(store->Longest(Text(3, 1)), 0u);
  EXPECT_EQ(pool_.bytes_in_use(), queued);
  store->Collect();
  EXPECT_LT(pool_.bytes_in_use(), queued);
  EXPECT_EQ(store->Longest(Text(3, 1)), 3u * kTokens);
  store->Flush();
  EXPECT_EQ(pool_.bytes_in_use(), 0u);
}

TEST_F(PrefixStoreTest, LeastRecentlyUsedFilesGoFirstAlsoAfterARestart) {
  const auto a = Text(3, 1);
  const auto b = Text(3, 2);
  {
    const auto store = OpenDisk(FileBytes(3) * 2);
    Read(store.get(), a, 3);
    Read(store.get(), b, 3);
    EXPECT_EQ(Restored(store.get(), a), 3);
  }
  const auto store = OpenDisk(FileBytes(3) * 2);
  Read(store.get(), Text(3, 3), 3);
  EXPECT_EQ(Restored(store.get(), a), 3);
  EXPECT_EQ(Restored(store.get(), b), 0);
  EXPECT_EQ(store->stats().evicted_bytes, FileBytes(3));
}

TEST_F(PrefixStoreTest, AFileThatAnotherOneContinuesIsRemovedAfterIt) {
  const auto prompt = Text(4, 1);
  {
    const auto store = OpenDisk();
    Read(store.get(), prompt, 2);
    Read(store.get(), prompt, 4);
  }
  // The beginning looks older than its continuation, as after a copy that did not keep the times.
  ASSERT_EQ(Files().size(), 2u);
  for (const fs::path& file : Files()) {
    const bool beginning = file.string().ends_with("-0.kv");
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(beginning ? 2 : 1));
  }
  const auto store = OpenDisk(BytesOnDisk() + FileBytes(1) - 1);
  Read(store.get(), Text(1, 2), 1);
  EXPECT_EQ(Restored(store.get(), prompt), 2);
}

TEST_F(PrefixStoreTest, ALowerLimitHoldsFromTheStart) {
  const auto a = Text(3, 1);
  const auto b = Text(3, 2);
  {
    const auto store = OpenDisk();
    Read(store.get(), a, 3);
    Read(store.get(), b, 3);
  }
  const auto store = OpenDisk(FileBytes(3));
  EXPECT_EQ(BytesOnDisk(), FileBytes(3));
  EXPECT_EQ(store->stats().disk_bytes, FileBytes(3));
  EXPECT_EQ(Restored(store.get(), a), 0);
  EXPECT_EQ(Restored(store.get(), b), 3);
}

}  // namespace
}  // namespace damask::batching::test
