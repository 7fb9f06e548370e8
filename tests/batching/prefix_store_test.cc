// What the store promises: the right pages, never more than the limits, and damaged or foreign files only ever make it shorter.
#include "batching/prefix_store.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "batching/prefix_file.h"
#include "tests/batching/prefix_store_fixture.h"

namespace damask::batching::test {
namespace {

namespace fs = std::filesystem;

// Of a file with `blocks` blocks from the beginning on.
uint64_t FileBytes(size_t blocks) { return PrefixHeadBytes(0, blocks) + blocks * kBlockBytes; }

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

TEST_F(PrefixStoreTest, P05P07ADamagedBlockEndsThePrefixBeforeItAndTheNextKeepMendsTheFile) {
  const auto prompt = Text(5, 1);
  Read(OpenDisk().get(), prompt, 5);
  Flip(Files().at(0), FileBytes(5) - kBlockBytes * 2 + 100);
  {
    const auto store = OpenDisk();
    EXPECT_EQ(Restored(store.get(), prompt), 3);
    EXPECT_EQ(Restored(store.get(), prompt), 0);  // it is out of the index now
    EXPECT_EQ(store->stats().bad_files, 1u);
    ASSERT_EQ(warnings_.size(), 1u);
    EXPECT_NE(warnings_[0].find(Files().at(0).filename()), std::string::npos) << warnings_[0];
    Read(store.get(), prompt, 5);
  }
  const auto store = OpenDisk();
  EXPECT_EQ(Restored(store.get(), prompt), 5);
  EXPECT_EQ(store->stats().disk_bytes, BytesOnDisk());
  EXPECT_EQ(warnings_.size(), 1u);
}

TEST_F(PrefixStoreTest, P07DamagedHeadsArePassedOverAtTheStart) {
  const auto prompt = Text(2, 1);
  Read(OpenDisk().get(), prompt, 2);
  const fs::path file = Files().at(0);
  const std::string sound = damask::test::ReadBytes(file);
  for (const size_t length : {size_t{0}, size_t{1}, size_t{95}, size_t{96}, size_t{4095}, sound.size() - 1, sound.size() + 1}) {
    std::ofstream(file, std::ios::binary) << (sound + '\0').substr(0, length);
    warnings_.clear();
    const auto store = OpenDisk();
    EXPECT_EQ(store->Longest(prompt), 0u) << length;
    EXPECT_EQ(store->stats().bad_files, 1u) << length;
    EXPECT_EQ(warnings_.size(), 1u) << length;
  }
}

TEST_F(PrefixStoreTest, P05AFileThatIsCutWhileTheServerRunsIsNoticed) {
  const auto prompt = Text(4, 1);
  Read(OpenDisk().get(), prompt, 4);
  const auto store = OpenDisk();
  fs::resize_file(Files().at(0), FileBytes(4) - kBlockBytes);
  EXPECT_EQ(Restored(store.get(), prompt), 0);
  EXPECT_EQ(store->stats().bad_files, 1u);
}

TEST_F(PrefixStoreTest, AFileThatAnotherProcessRemovedIsNoDamage) {
  const auto prompt = Text(4, 1);
  Read(OpenDisk().get(), prompt, 4);
  const auto store = OpenDisk();
  fs::remove(Files().at(0));
  EXPECT_EQ(Restored(store.get(), prompt), 0);
  EXPECT_EQ(store->stats().bad_files, 0u);
  EXPECT_EQ(store->stats().disk_bytes, 0u);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(PrefixStoreTest, P06FilesOfAnotherBindingAreNeverUsedButTakeUpRoom) {
  const auto prompt = Text(3, 1);
  Read(OpenDisk().get(), prompt, 3);
  for (const std::string binding : {"damask 2, model A, full", "damask 1, model B, full", "damask 1, model A, full ", ""}) {
    const auto store = Open({.memory_bytes = 0, .directory = directory(), .disk_bytes = FileBytes(4)}, binding);
    EXPECT_EQ(store->Longest(prompt), 0u) << binding;
    EXPECT_EQ(Restored(store.get(), prompt), 0) << binding;
    EXPECT_EQ(store->stats().bad_files, 0u);
    EXPECT_EQ(store->stats().disk_bytes, FileBytes(3));
  }
  const auto store = Open({.memory_bytes = 0, .directory = directory(), .disk_bytes = FileBytes(4)}, "another");
  Read(store.get(), prompt, 3);
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_EQ(Restored(store.get(), prompt), 3);
}

TEST_F(PrefixStoreTest, P08LinksFoldersAndPipesWithSuchNamesArePassedOver) {
  const auto prompt = Text(3, 1);
  Read(OpenDisk().get(), prompt, 3);
  const std::string name = Files().at(0).filename();
  const std::string outside = folder_.File("outside");
  fs::rename(Files().at(0), outside);
  const std::string before = damask::test::ReadBytes(outside);
  const std::string place = directory() + "/" + name;
  const auto nothing_is_used = [&] {
    const auto store = OpenDisk();
    EXPECT_EQ(store->Longest(prompt), 0u);
    EXPECT_EQ(store->stats().bad_files, 0u);
    EXPECT_EQ(store->stats().disk_bytes, 0u);
  };
  fs::create_symlink(outside, place);
  nothing_is_used();
  Read(OpenDisk().get(), prompt, 3);  // the link is replaced, not followed
  EXPECT_FALSE(fs::is_symlink(place));
  EXPECT_EQ(damask::test::ReadBytes(outside), before);
  fs::remove(place);
  ASSERT_EQ(mkfifo(place.c_str(), 0600), 0);
  nothing_is_used();
  fs::remove(place);
  fs::create_directory(place);
  nothing_is_used();
  warnings_.clear();
  Read(OpenDisk().get(), prompt, 3);
  EXPECT_EQ(warnings_.size(), 1u);  // a folder cannot be replaced
  EXPECT_TRUE(fs::is_directory(place));
}

TEST_F(PrefixStoreTest, P08OnlyNamesOfOurOwnPatternAreReadOrRemoved) {
  const auto prompt = Text(3, 1);
  Read(OpenDisk().get(), prompt, 3);
  const std::string hash(32, 'a');
  std::vector<std::string> foreign = {"a.kv",           ".kv",
                                      hash + ".kv",     hash + "-.kv",
                                      hash + "-x.kv",   std::string(32, 'A') + "-0.kv",
                                      hash + "-0.kv~",  std::string(250, 'a') + ".kv",
                                      "x.kv.part",      "damask-1-x.kv.part",
                                      "damask-.kv.part"};
  for (const std::string& name : foreign) std::ofstream(directory() + "/" + name) << "not ours";
  for (const char* leftover : {"damask-1-0.kv.part", "damask-99999-17.kv.part"}) {
    std::ofstream(directory() + "/" + leftover) << "half a file";
  }
  const auto store = OpenDisk(FileBytes(3));
  EXPECT_EQ(store->stats().bad_files, 0u);
  Read(store.get(), Text(3, 2), 3);  // makes room for itself
  EXPECT_EQ(Restored(store.get(), prompt), 0);
  for (const std::string& name : foreign) EXPECT_TRUE(fs::exists(directory() + "/" + name)) << name;
  EXPECT_FALSE(fs::exists(directory() + "/damask-1-0.kv.part"));
  EXPECT_FALSE(fs::exists(directory() + "/damask-99999-17.kv.part"));
}

TEST_F(PrefixStoreTest, P08ADirectoryThatCannotBeUsedIsAnError) {
  const std::string file = folder_.Write("file", "x");
  const std::string no_parent = folder_.File("none/kv");
  const std::string too_long = folder_.File(std::string(300, 'n'));
  const std::string nul("a\0b", 3);
  for (const std::string& path : {file, no_parent, too_long, nul}) {
    EXPECT_FALSE(PrefixStore::Open({.directory = path}, SmallShape(), &pool_).ok()) << path;
  }
  EXPECT_FALSE(PrefixStore::Open({}, {.binding = "x", .layers = 0, .kv_heads = 2, .vocab = 5}, &pool_).ok());
}

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

}  // namespace
}  // namespace damask::batching::test
