// BAD_INPUT section 2, the start of a file: G01 to G05, and what any cut or changed byte may do.
#include <string>

#include <gtest/gtest.h>

#include "formats/check.h"
#include "tests/formats/gguf_builder.h"
#include "tests/formats/test_files.h"

namespace damask::formats::test {
namespace {

TEST(GgufHeaderTest, ASoundFileIsReadWhole) {
  const auto file = ParseGguf(SmallGguf());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->metadata().size(), 19u);
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->file_bytes(), SmallGguf().size());
}

TEST(GgufHeaderTest, G01AnEmptyFileIsNoGguf) { ExpectBadGguf("", StatusCode::kBadFormat, {"not a GGUF file", "empty"}); }

TEST(GgufHeaderTest, G01ThreeBytesAreNoGguf) { ExpectBadGguf("GGU", StatusCode::kBadFormat, {"not a GGUF file", "GGU"}); }

TEST(GgufHeaderTest, G01AnHtmlPageIsNamed) {
  ExpectBadGguf("<!DOCTYPE html><html>", StatusCode::kBadFormat, {"not a GGUF file", "HTML"});
  ExpectBadGguf("\n  <html>", StatusCode::kBadFormat, {"HTML"});
}

TEST(GgufHeaderTest, G01AGitLfsPointerIsNamed) {
  ExpectBadGguf("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", StatusCode::kBadFormat,
                {"not a GGUF file", "Git LFS"});
}

TEST(GgufHeaderTest, G02AnotherMagicIsNoGguf) {
  ExpectBadGguf(GgufBuilder().Magic("FUGG").Build(), StatusCode::kBadFormat, {"not a GGUF file", "FUGG"});
}

TEST(GgufHeaderTest, G02AHeaderCutShortIsTruncatedWithTheOffset) {
  const std::string whole = GgufBuilder().Build();
  ASSERT_EQ(whole.size(), 24u);
  ExpectBadGguf(whole.substr(0, 4), StatusCode::kTruncated, {"byte 4", "version"});
  ExpectBadGguf(whole.substr(0, 8), StatusCode::kTruncated, {"byte 8", "number of tensors"});
  ExpectBadGguf(whole.substr(0, 16), StatusCode::kTruncated, {"byte 16", "number of keys"});
  ExpectBadGguf(whole.substr(0, 23), StatusCode::kTruncated, {"byte 16", "8 bytes expected, 7 left"});
}

TEST(GgufHeaderTest, G02AFileCutAtAnyByteIsRefused) {
  const std::string whole = SmallGguf();
  const size_t last_tensor_ends = whole.size() - 24;  // 8 bytes of data, padded to 32
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto file = ParseGguf(whole.substr(0, size));
    EXPECT_EQ(file.ok(), size >= last_tensor_ends) << "cut at byte " << size;
    // Tools that look on after a fault meet the same bytes.
    const MemoryFile memory(whole.substr(0, size));
    EXPECT_EQ(CheckModelBytes(memory.file()).empty(), size >= last_tensor_ends) << "cut at byte " << size;
  }
}

TEST(GgufHeaderTest, G02AChangedByteIsNeverACrash) {
  const std::string whole = SmallGguf();
  size_t refused = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const auto file = ParseGguf(changed);
      refused += file.ok() ? 0 : 1;
      const MemoryFile memory(changed);
      CheckModelBytes(memory.file());
    }
  }
  EXPECT_GT(refused, whole.size());  // most of the file is structure
}

TEST(GgufHeaderTest, G03OtherVersionsAreRefusedByName) {
  ExpectBadGguf(GgufBuilder().Version(0).Build(), StatusCode::kBadFormat, {"version 0"});
  ExpectBadGguf(GgufBuilder().Version(1).Build(), StatusCode::kUnsupported, {"version 1"});
  ExpectBadGguf(GgufBuilder().Version(4).Build(), StatusCode::kUnsupported, {"version 4"});
}

TEST(GgufHeaderTest, G03Version2IsRead) {
  const auto file = ParseGguf(GgufBuilder().Version(2).U32("a", 1).Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->version(), 2u);
}

TEST(GgufHeaderTest, G03TheWrongByteOrderIsNamed) {
  ExpectBadGguf(GgufBuilder().Version(0x03000000).Build(), StatusCode::kBadFormat, {"wrong byte order"});
}

TEST(GgufHeaderTest, G04MoreTensorsThanBytesAreRefusedBeforeAnyAllocation) {
  for (const uint64_t count : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1000000000}}) {
    std::string bytes = GgufBuilder().NumTensors(count).Build();
    bytes.resize(1024);
    const AllocationWatch watch;
    ExpectBadGguf(bytes, StatusCode::kBadFormat, {std::to_string(count), "tensors"});
    EXPECT_LT(watch.bytes(), 65536u);
  }
}

TEST(GgufHeaderTest, G05MoreKeysThanBytesAreRefusedBeforeAnyAllocation) {
  for (const uint64_t count : {~uint64_t{0}, uint64_t{1000000000}}) {
    std::string bytes = GgufBuilder().NumKeys(count).Build();
    bytes.resize(1024);
    const AllocationWatch watch;
    ExpectBadGguf(bytes, StatusCode::kBadFormat, {std::to_string(count), "keys"});
    EXPECT_LT(watch.bytes(), 65536u);
  }
}

// 200,000 keys take a fraction of a second with a hash table and minutes when each is compared with all others.
TEST(GgufHeaderTest, G05ManyKeysAreReadInLinearTime) {
  GgufBuilder builder;
  for (int i = 0; i < 200000; ++i) builder.U8("key." + std::to_string(i), 1);
  const auto file = ParseGguf(builder.Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_NE(file->FindKey("key.199999"), nullptr);
}

}  // namespace
}  // namespace damask::formats::test
