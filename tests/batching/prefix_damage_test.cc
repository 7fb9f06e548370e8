// Damaged and foreign files: passed over and named, never used, and only what is ours is ever touched.
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/batching/prefix_store_fixture.h"

namespace damask::batching::test {
namespace {

namespace fs = std::filesystem;

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

// As long as it exists nothing can be opened: too many files are open.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none = {0, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoMoreFiles() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreFiles(const NoMoreFiles&) = delete;
  NoMoreFiles& operator=(const NoMoreFiles&) = delete;

 private:
  rlimit before_ = {};
};

TEST_F(PrefixStoreTest, AFileThatCannotBeOpenedJustNowIsNoDamage) {
  const auto prompt = Text(4, 1);
  Read(OpenDisk().get(), prompt, 4);
  const auto store = OpenDisk();
  {
    const NoMoreFiles none;
    for (int i = 0; i < 2; ++i) EXPECT_EQ(Restored(store.get(), prompt), 0);
  }
  EXPECT_EQ(store->stats().bad_files, 0u);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("Too many open files"), std::string::npos) << warnings_[0];
  EXPECT_NE(warnings_[0].find(Files().at(0).filename()), std::string::npos) << warnings_[0];
  EXPECT_EQ(Restored(store.get(), prompt), 4);
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
  const std::string below_a_file = file + "/above/kv";
  const std::string too_long = folder_.File(std::string(300, 'n'));
  const std::string nul("a\0b", 3);
  for (const std::string& path : {file, below_a_file, too_long, nul}) {
    EXPECT_FALSE(PrefixStore::Open({.directory = path}, SmallShape(), &pool_).ok()) << path;
  }
  EXPECT_FALSE(PrefixStore::Open({}, {.binding = "x", .layers = 0, .kv_heads = 2, .vocab = 5}, &pool_).ok());
}

}  // namespace
}  // namespace damask::batching::test
