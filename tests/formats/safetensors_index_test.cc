// BAD_INPUT section 4, models in several files: S07.
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "tests/formats/safetensors_builder.h"
#include "tests/formats/test_files.h"
#include "tests/temp_dir.h"

namespace damask::formats::test {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

std::string OneTensor(const std::string& name, float value) {
  return SafetensorsFile("{" + EntryText(name, "F32", "[1]", "[0, 4]") + "}", Le(value));
}

// Two shards with one tensor each.
class SafetensorsIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_.Write("s1.safetensors", OneTensor("a", 1));
    folder_.Write("s2.safetensors", OneTensor("b", 2));
    WriteMap(R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  }

  void WriteMap(const std::string& map) const {
    folder_.Write(kIndex, R"({"metadata":{"total_size":8},"weight_map":)" + map + "}");
  }
  void ExpectRefused(StatusCode code, std::initializer_list<std::string_view> parts) const {
    const auto files = SafetensorsFiles::OpenFolder(folder_.path(), LoadMode::kMap);
    ASSERT_FALSE(files.ok());
    ExpectError(files.status(), code, parts);
  }

  damask::test::TempDir folder_;
};

TEST_F(SafetensorsIndexTest, ShardsAreOneModel) {
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
    const auto files = SafetensorsFiles::OpenFolder(folder_.path(), mode);
    ASSERT_TRUE(files.ok()) << files.status().ToString();
    EXPECT_EQ((*files)->tensors().size(), 2u);
    const TensorInfo& tensor = **(*files)->Find("b");
    EXPECT_EQ(tensor.shard, 1u);
    EXPECT_EQ(*reinterpret_cast<const float*>(tensor.data), 2.f);
    EXPECT_EQ((*files)->file_bytes(), OneTensor("a", 1).size() * 2);
  }
}

TEST_F(SafetensorsIndexTest, ASingleFileComesBeforeAnIndex) {
  folder_.Write("model.safetensors", OneTensor("single", 3));
  const auto files = SafetensorsFiles::OpenFolder(folder_.path(), LoadMode::kMap);
  ASSERT_TRUE(files.ok()) << files.status().ToString();
  EXPECT_EQ((*files)->tensors().size(), 1u);
}

TEST_F(SafetensorsIndexTest, AFolderWithoutEitherIsNotFound) {
  std::filesystem::remove(folder_.File(kIndex));
  ExpectRefused(StatusCode::kNotFound, {"model.safetensors", kIndex});
}

TEST_F(SafetensorsIndexTest, S07AMissingShardIsNamed) {
  std::filesystem::remove(folder_.File("s2.safetensors"));
  ExpectRefused(StatusCode::kIo, {kIndex, "s2.safetensors"});
}

TEST_F(SafetensorsIndexTest, S07ATensorInAnotherShardThanStatedIsRefused) {
  WriteMap(R"({"a":"s2.safetensors","b":"s1.safetensors"})");
  ExpectRefused(StatusCode::kBadFormat, {"'a'", "'s2.safetensors'", "found in 's1.safetensors'"});
}

TEST_F(SafetensorsIndexTest, S07ATensorThatIsNowhereIsRefused) {
  WriteMap(R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s1.safetensors"})");
  ExpectRefused(StatusCode::kBadFormat, {"'c'", "'s1.safetensors'", "does not have it"});
}

TEST_F(SafetensorsIndexTest, S07ATensorInTwoShardsIsRefused) {
  folder_.Write("s2.safetensors", OneTensor("a", 2));
  ExpectRefused(StatusCode::kBadFormat, {"'a'", "two files"});
}

TEST_F(SafetensorsIndexTest, S07NamesThatLeadElsewhereAreRefused) {
  for (const char* name : {"../s1.safetensors", "/etc/passwd", "sub/s1.safetensors", "..", ".", "", "a\\\\b", "x\\u0000y"}) {
    WriteMap(std::string(R"({"a":")") + name + "\"}");
    ExpectRefused(StatusCode::kBadFormat, {"'a'", "same folder"});
  }
}

TEST_F(SafetensorsIndexTest, S07AnIndexOfAnotherShapeIsRefused) {
  WriteMap(R"({"a":1})");
  ExpectRefused(StatusCode::kBadFormat, {"'a'", "name of a file"});
  WriteMap("[]");
  ExpectRefused(StatusCode::kBadFormat, {"'weight_map'"});
  WriteMap("{}");
  ExpectRefused(StatusCode::kBadFormat, {"no tensors"});
  WriteMap(R"({"a":"s1.safetensors","a":"s2.safetensors"})");
  ExpectRefused(StatusCode::kBadFormat, {"'a'", "twice"});
  folder_.Write(kIndex, "[]");
  ExpectRefused(StatusCode::kBadFormat, {kIndex, "object"});
  folder_.Write(kIndex, "{");
  ExpectRefused(StatusCode::kBadFormat, {kIndex, "byte"});
}

TEST_F(SafetensorsIndexTest, S07TooManyShardsAreRefusedBeforeTheyAreOpened) {
  std::string map = "{";
  for (int i = 0; i < 1001; ++i) map += fmt::format("{}\"t{}\":\"f{}\"", i == 0 ? "" : ",", i, i);
  WriteMap(map + "}");
  ExpectRefused(StatusCode::kTooLarge, {"1001 files"});
}

}  // namespace
}  // namespace damask::formats::test
