#include "batching/prefix_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include <gtest/gtest.h>

#include "base/descriptor.h"
#include "tests/batching/prefix_bytes.h"
#include "tests/temp_dir.h"

namespace damask::batching::test {
namespace {

class PrefixFileTest : public ::testing::Test {
 protected:
  Descriptor Open(const std::string& bytes) const {
    return Descriptor(open(folder_.Write("file", bytes).c_str(), O_RDONLY | O_CLOEXEC));
  }
  Result<PrefixFileHead> ReadHead(const std::string& bytes) const { return ReadPrefixHead(Open(bytes).get(), TinyShape()); }
  StatusCode CodeOf(const std::string& bytes) const { return ReadHead(bytes).status().code(); }
  // How many blocks of the file pass their check.
  size_t SoundBlocks(const std::string& bytes) const {
    const Descriptor fd = Open(bytes);
    const auto head = ReadPrefixHead(fd.get(), TinyShape());
    if (!head.ok()) return 0;
    TinyPages pages(1);
    size_t sound = 0;
    for (uint64_t block = head->first_block; block < head->end_block; ++block) {
      sound += ReadPrefixBlock(fd.get(), TinyShape(), *head, block, pages.pages).ok() ? 1 : 0;
    }
    return sound;
  }

  damask::test::TempDir folder_;
};

TEST_F(PrefixFileTest, WhatIsWrittenIsRead) {
  const Descriptor fd = Open(TinyFile(2, 5));
  const auto head = ReadPrefixHead(fd.get(), TinyShape());
  ASSERT_TRUE(head.ok()) << head.status().ToString();
  EXPECT_EQ(head->first_block, 2u);
  EXPECT_EQ(head->end_block, 5u);
  EXPECT_EQ(head->ids, TinyIds(5));
  const TinyPages written(3);
  TinyPages read(1);
  for (uint64_t block = 2; block < 5; ++block) {
    ASSERT_TRUE(ReadPrefixBlock(fd.get(), TinyShape(), *head, block, read.pages).ok());
    EXPECT_EQ(read.bytes, written.bytes.substr((block - 2) * TinyShape().block_bytes(), TinyShape().block_bytes()));
  }
  EXPECT_FALSE(ReadPrefixBlock(fd.get(), TinyShape(), *head, 1, read.pages).ok());
  EXPECT_FALSE(ReadPrefixBlock(fd.get(), TinyShape(), *head, 5, read.pages).ok());
}

TEST_F(PrefixFileTest, WritingFillsInTheChecksums) {
  const Descriptor fd(open(folder_.File("new").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  PrefixFileHead head = {.first_block = 2, .end_block = 5, .ids = TinyIds(5), .checksums = {}};
  const TinyPages pages(3);
  ASSERT_TRUE(WritePrefixFile(fd.get(), TinyShape(), &head, pages.pages).ok());
  EXPECT_EQ(damask::test::ReadBytes(folder_.File("new")), TinyFile(2, 5));
}

TEST_F(PrefixFileTest, P07AFileCutAnywhereOrLongerIsRefused) {
  const std::string bytes = TinyFile(1, 3);
  for (size_t length = 0; length < bytes.size(); length += length < 200 ? 1 : 61) {
    ASSERT_EQ(CodeOf(bytes.substr(0, length)), StatusCode::kTruncated) << length;
  }
  EXPECT_EQ(CodeOf(bytes.substr(0, bytes.size() - 1)), StatusCode::kTruncated);
  EXPECT_EQ(CodeOf(bytes + '\0'), StatusCode::kTruncated);
  EXPECT_TRUE(ReadHead(bytes).ok());
}

TEST_F(PrefixFileTest, P07EveryFlippedByteOfTheHeadIsNoticed) {
  const std::string bytes = TinyFile(0, 2);
  const size_t head_bytes = PrefixHeadBytes(0, 2);
  for (size_t at = 0; at < head_bytes; ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string head = bytes.substr(0, head_bytes);
      head[at] = static_cast<char>(head[at] ^ flip);
      const auto parsed = ParsePrefixHead(std::as_bytes(std::span(head)), bytes.size(), TinyShape());
      ASSERT_FALSE(parsed.ok()) << "byte " << at;
      ASSERT_NE(parsed.status().code(), StatusCode::kUnsupported) << "byte " << at;  // damaged, not somebody else's
    }
  }
}

TEST_F(PrefixFileTest, P07EveryFlippedBitOfThePagesCostsItsBlock) {
  const std::string bytes = TinyFile(0, 2);
  ASSERT_EQ(SoundBlocks(bytes), 2u);
  for (size_t at = PrefixHeadBytes(0, 2); at < bytes.size(); at += 37) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    ASSERT_EQ(SoundBlocks(flipped), 1u) << "byte " << at;
  }
}

TEST_F(PrefixFileTest, P07BlocksThatChangedPlacesAreRefused) {
  std::string bytes = TinyFile(0, 2);
  const size_t data = PrefixHeadBytes(0, 2);
  const size_t block = TinyShape().block_bytes();
  bytes = bytes.substr(0, data) + bytes.substr(data + block) + bytes.substr(data, block);
  EXPECT_EQ(SoundBlocks(bytes), 0u);
}

TEST_F(PrefixFileTest, P07WrongNumbersBehindARightChecksumAreRefused) {
  const auto with = [](const std::function<void(PrefixFileStart*)>& change) {
    return Resealed(TinyFile(0, 2), [&](PrefixFileStart* start, std::string*) { change(start); });
  };
  ASSERT_TRUE(ReadHead(with([](PrefixFileStart*) {})).ok());
  const std::vector<std::function<void(PrefixFileStart*)>> changes = {
      [](PrefixFileStart* s) { s->layers = 3; },
      [](PrefixFileStart* s) { s->layers = 0; },
      [](PrefixFileStart* s) { s->kv_heads = 1u << 31; },
      [](PrefixFileStart* s) { s->page_bytes = ~uint64_t{0}; },
      [](PrefixFileStart* s) { s->vocab = 1u << 30; },
      [](PrefixFileStart* s) { s->first_block = 2; },
      [](PrefixFileStart* s) { s->first_block = 1; },
      [](PrefixFileStart* s) { s->end_block = 1; },
      [](PrefixFileStart* s) { s->end_block = 3; },
      [](PrefixFileStart* s) { s->end_block = 0; },
      [](PrefixFileStart* s) { s->end_block = ~uint32_t{0}; },
      [](PrefixFileStart* s) { s->first_block = ~uint32_t{0}; },
      [](PrefixFileStart* s) { s->head_bytes += TinyShape().block_bytes(); },
      [](PrefixFileStart* s) { s->head_bytes = 96; },
      [](PrefixFileStart* s) { s->head_bytes = 95; },
      [](PrefixFileStart* s) { s->head_bytes = ~uint64_t{0}; },
      [](PrefixFileStart* s) { s->file_bytes += 1; },
      [](PrefixFileStart* s) { s->byte_order = 0x04030201; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    const StatusCode code = CodeOf(with(changes[i]));
    EXPECT_TRUE(code == StatusCode::kBadFormat || code == StatusCode::kTruncated) << "change " << i;
  }
}

TEST_F(PrefixFileTest, P07TokenIdsOutsideTheVocabularyAreRefused) {
  for (const TokenId id : {static_cast<TokenId>(TinyShape().vocab), -1, INT32_MAX, INT32_MIN}) {
    for (const size_t at : {size_t{0}, 2 * kernels::kPageTokens - 1}) {
      EXPECT_EQ(CodeOf(Resealed(TinyFile(0, 2),
                                [&](PrefixFileStart*, std::string* bytes) {
                                  std::memcpy(bytes->data() + sizeof(PrefixFileStart) + at * sizeof(id), &id, sizeof(id));
                                })),
                StatusCode::kBadFormat);
    }
  }
}

TEST_F(PrefixFileTest, P06AnotherBindingOrVersionIsUnsupported) {
  PrefixFileShape other = TinyShape();
  BindPrefixFiles("the same length, but other", &other);
  EXPECT_EQ(ReadPrefixHead(Open(TinyFile(0, 2)).get(), other).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(CodeOf(Resealed(TinyFile(0, 2), [](PrefixFileStart* start, std::string*) { start->version = 2; })),
            StatusCode::kUnsupported);
  EXPECT_EQ(CodeOf(Resealed(TinyFile(0, 2), [](PrefixFileStart* start, std::string*) { start->binding_bytes += 1; })),
            StatusCode::kUnsupported);
}

TEST_F(PrefixFileTest, EverySeedOfTheFuzzerIsReadOrRefused) {
  size_t sound = 0;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DAMASK_SOURCE_DIR "/tests/corpus/prefix_file")) {
    sound += SoundBlocks(damask::test::ReadBytes(entry.path())) > 0 ? 1 : 0;
    ++files;
  }
  EXPECT_GT(sound, 0u);
  EXPECT_LT(sound, files);
}

}  // namespace
}  // namespace damask::batching::test
