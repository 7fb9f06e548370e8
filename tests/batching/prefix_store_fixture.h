// A directory of prefix files with what tests do to it, and the warnings given meanwhile.
#pragma once

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "batching/prefix_file.h"
#include "tests/batching/prefix_cases.h"
#include "tests/temp_dir.h"

namespace damask::batching::test {

// Of a file with `blocks` blocks from the beginning on.
inline uint64_t FileBytes(size_t blocks) { return PrefixHeadBytes(0, blocks) + blocks * kBlockBytes; }

class PrefixStoreTest : public ::testing::Test {
 protected:
  PrefixStoreTest() {
    SetLogSink([this](LogLevel level, const std::string& text) {
      if (level == LogLevel::kWarning) warnings_.push_back(text);
    });
  }
  ~PrefixStoreTest() override { SetLogSink({}); }

  std::string directory() const { return folder_.File("kv"); }
  // An exception where there is none to be had (a test then fails with what was said).
  std::unique_ptr<PrefixStore> Open(const PrefixStoreOptions& options, const std::string& binding = SmallShape().binding) {
    auto store = PrefixStore::Open(options, SmallShape(binding), &pool_);
    if (!store.ok()) throw std::runtime_error(store.status().ToString());
    return std::move(*store);
  }
  // On disk alone, or in memory alone.
  std::unique_ptr<PrefixStore> OpenDisk(uint64_t disk_bytes = uint64_t{1} << 30) {
    return Open({.memory_bytes = 0, .directory = directory(), .disk_bytes = disk_bytes});
  }
  std::unique_ptr<PrefixStore> OpenMemory() { return Open({}); }

  // Reads the prompt's first `blocks` blocks as the scheduler does: from the store what is there, computes the rest, keeps it.
  void Read(PrefixStore* store, std::span<const TokenId> prompt, size_t blocks) {
    model::KvCache cache(SmallConfig(), &pool_);
    ASSERT_TRUE(store->Restore(prompt, &cache).ok());
    Prefill(prompt, blocks, &cache);
    store->Keep(prompt, cache, cache.length());
    store->Flush();
  }
  // How many blocks come back, every byte of them right; -1 where one is wrong or an error came.
  int Restored(PrefixStore* store, std::span<const TokenId> prompt) {
    model::KvCache cache(SmallConfig(), &pool_);
    const uint64_t longest = store->Longest(prompt);
    const Result<uint64_t> length = store->Restore(prompt, &cache);
    if (!length.ok() || *length != cache.length() || *length > longest || !HoldsText(cache, prompt)) return -1;
    return static_cast<int>(*length / kTokens);
  }

  std::vector<std::filesystem::path> Files() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      if (entry.path().extension() == ".kv" && entry.is_regular_file()) files.push_back(entry.path());
    }
    return files;
  }
  uint64_t BytesOnDisk() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    return bytes;
  }
  static void Flip(const std::filesystem::path& file, size_t at) {
    std::string bytes = damask::test::ReadBytes(file);
    bytes.at(at) = static_cast<char>(bytes.at(at) ^ 0x10);
    std::ofstream(file, std::ios::binary) << bytes;
  }

  damask::test::TempDir folder_;
  model::PagePool pool_{kLayout};
  std::vector<std::string> warnings_;
};

}  // namespace damask::batching::test
