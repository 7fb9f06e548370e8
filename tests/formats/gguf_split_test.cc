// BAD_INPUT section 2, models in several files: G22.
#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "formats/check.h"
#include "formats/gguf_reader.h"
#include "tests/formats/gguf_builder.h"
#include "tests/formats/test_files.h"
#include "tests/temp_dir.h"

namespace damask::formats::test {
namespace {

constexpr uint32_t kTypeI8 = 24;

GgufBuilder Shard(uint16_t number, uint16_t count, int32_t num_tensors) {
  GgufBuilder builder;
  builder.U16("split.no", number).U16("split.count", count).I32("split.tensors.count", num_tensors);
  return builder;
}

// Three shards with one tensor each, as llama.cpp's gguf-split writes them.
class GgufSplitTest : public testing::Test {
 protected:
  void SetUp() override {
    Write(1, Shard(0, 3, 3).Text("general.architecture", "llama").Tensor("a", kTypeI8, {3}, "aaa"));
    Write(2, Shard(1, 3, 3).Tensor("b", kTypeI8, {3}, "bbb"));
    Write(3, Shard(2, 3, 3).Tensor("c", kTypeI8, {3}, "ccc"));
  }

  std::string Name(uint64_t number, uint64_t count = 3) const { return MakeShardName(folder_.File("m"), number, count); }
  void Write(uint64_t number, const GgufBuilder& builder) const {
    folder_.Write(std::filesystem::path(Name(number)).filename(), builder.Build());
  }
  void ExpectRefused(const std::string& path, StatusCode code, std::initializer_list<std::string_view> parts) const {
    const auto file = GgufFile::Open(path, {});
    ASSERT_FALSE(file.ok());
    ExpectError(file.status(), code, parts);
  }

  damask::test::TempDir folder_;
};

TEST_F(GgufSplitTest, ShardsAreOneModel) {
  const auto opened = GgufFile::Open(Name(1), {});
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  const GgufFile& file = **opened;
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(**file.GetString("general.architecture"), "llama");
  const TensorInfo* tensor = file.FindTensor("c");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->shard, 2u);
  EXPECT_EQ(tensor->data[2], std::byte{'c'});
  EXPECT_EQ(file.file_bytes(),
            std::filesystem::file_size(Name(1)) + std::filesystem::file_size(Name(2)) + std::filesystem::file_size(Name(3)));
}

TEST_F(GgufSplitTest, NamesOfShardsAreTakenApart) {
  const auto name = ParseShardName("/x/y-00002-of-00010.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->prefix, "/x/y");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 10u);
  for (const char* other : {"m.gguf", "-00001-of-00002.gguf", "m-0001-of-00002.gguf", "m-00001-of-00002.GGUF",
                            "m-0000x-of-00002.gguf", "m_00001-of-00002.gguf", "m-+0001-of-00002.gguf", ""}) {
    EXPECT_FALSE(ParseShardName(other).has_value()) << other;
  }
}

TEST_F(GgufSplitTest, G22ALaterShardNamesTheFirst) {
  ExpectRefused(Name(2), StatusCode::kBadFormat, {"shard 2 of 3", "open the first", "m-00001-of-00003.gguf"});
}

TEST_F(GgufSplitTest, G22AMissingShardIsNamed) {
  std::filesystem::remove(Name(2));
  ExpectRefused(Name(1), StatusCode::kIo, {"shard 2 of 3", "m-00002-of-00003.gguf"});
}

TEST_F(GgufSplitTest, G22ShardsJoinedByCatAreRecognised) {
  std::string joined;
  for (int number = 1; number <= 3; ++number) joined += damask::test::ReadBytes(Name(number));
  ExpectRefused(folder_.Write("joined.gguf", joined), StatusCode::kBadFormat, {"joined", "cat"});
}

TEST_F(GgufSplitTest, G22AShardOfAnotherCountIsRefused) {
  Write(2, Shard(1, 4, 3).Tensor("b", kTypeI8, {3}, "bbb"));
  ExpectRefused(Name(1), StatusCode::kBadFormat, {"m-00002-of-00003.gguf", "2 of 4", "expected 2 of 3"});
}

TEST_F(GgufSplitTest, G22ACountThatIsNotTheNamesIsRefused) {
  std::filesystem::copy(Name(1), Name(1, 5));
  ExpectRefused(Name(1, 5), StatusCode::kBadFormat, {"name says shard 1 of 5", "keys say 1 of 3"});
}

TEST_F(GgufSplitTest, G22AFirstShardUnderAnotherNameIsRefused) {
  std::filesystem::copy(Name(1), folder_.File("other.gguf"));
  ExpectRefused(folder_.File("other.gguf"), StatusCode::kBadFormat, {"other.gguf", "-00001-of-00003.gguf"});
}

TEST_F(GgufSplitTest, G22AShardNumberTwiceIsRefused) {
  Write(3, Shard(1, 3, 3).Tensor("c", kTypeI8, {3}, "ccc"));
  ExpectRefused(Name(1), StatusCode::kBadFormat, {"m-00003-of-00003.gguf", "2 of 3", "expected 3 of 3"});
}

TEST_F(GgufSplitTest, G22ATensorInTwoShardsIsRefused) {
  Write(3, Shard(2, 3, 3).Tensor("a", kTypeI8, {3}, "ccc"));
  ExpectRefused(Name(1), StatusCode::kBadFormat, {"m-00003-of-00003.gguf", "'a'", "two shards"});
}

TEST_F(GgufSplitTest, FaultsAreToldOfTheShardThatHasThem) {
  constexpr uint32_t kTypeF32 = 0;
  const auto is_told = [this](std::string_view where, std::string_view what) {
    const auto faults = CheckModelFile(Name(1), LoadMode::kMap);
    return faults.ok() && std::any_of(faults->begin(), faults->end(), [&](const Fault& fault) {
             return fault.where.find(where) != std::string::npos && fault.what.find(what) != std::string::npos;
           });
  };
  Write(2, Shard(1, 3, 3).Tensor("b", kTypeF32, {1}, Le(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(is_told("m-00002-of-00003.gguf': tensor 'b'", "1 NaN"));
  Write(3, Shard(2, 3, 3).Tensor("a", kTypeI8, {3}, "ccc"));
  EXPECT_TRUE(is_told("m-00003-of-00003.gguf': tensor 'a'", "two shards"));
}

TEST_F(GgufSplitTest, G22ACountOfTensorsThatDiffersIsRefused) {
  Write(1, Shard(0, 3, 4).Tensor("a", kTypeI8, {3}, "aaa"));
  ExpectRefused(Name(1), StatusCode::kBadFormat, {"3 tensors", "split.tensors.count says 4"});
}

TEST_F(GgufSplitTest, G22TooManyShardsAreRefusedBeforeTheyAreOpened) {
  const std::string path = folder_.Write("n-00001-of-65535.gguf", Shard(0, 65535, 1).Build());
  ExpectRefused(path, StatusCode::kTooLarge, {"65535 shards"});
}

TEST_F(GgufSplitTest, G22TheFirstMissingShardEndsTheSearch) {
  const std::string path = folder_.Write("n-00001-of-01000.gguf", Shard(0, 1000, 1).Build());
  ExpectRefused(path, StatusCode::kIo, {"shard 2 of 1000"});
}

TEST_F(GgufSplitTest, G22ShardNumbersOutOfRangeAreRefused) {
  ExpectRefused(folder_.Write("x.gguf", Shard(3, 3, 1).Build()), StatusCode::kBadFormat, {"split.no", "found 3"});
  ExpectRefused(folder_.Write("x.gguf", Shard(0, 0, 1).Build()), StatusCode::kBadFormat, {"split.count", "found 0"});
  ExpectRefused(folder_.Write("x.gguf", GgufBuilder().U16("split.count", 3).Build()), StatusCode::kBadFormat,
                {"split.no", "missing"});
  ExpectRefused(folder_.Write("x.gguf", GgufBuilder().Text("split.count", "3").Build()), StatusCode::kBadFormat,
                {"split.count", "found string"});
}

// Names of shards come from the path alone; nothing a file says is ever part of a path.
TEST_F(GgufSplitTest, G22ShardNamesInKeysAreNeverFollowed) {
  Write(1, Shard(0, 3, 3).Text("split.name", "../../etc/passwd").Tensor("a", kTypeI8, {3}, "aaa"));
  EXPECT_TRUE(GgufFile::Open(Name(1), {}).ok());
}

TEST_F(GgufSplitTest, AShardInMemoryIsRefused) {
  ExpectBadGguf(Shard(0, 3, 1).Build(), StatusCode::kUnsupported, {"shard 1 of 3"});
}

TEST_F(GgufSplitTest, ASplitOfOneIsAWholeModel) {
  EXPECT_TRUE(GgufFile::Open(folder_.Write("one.gguf", Shard(0, 1, 1).Tensor("a", kTypeI8, {1}, "a").Build()), {}).ok());
}

}  // namespace
}  // namespace damask::formats::test
