// BAD_INPUT section 2, tensors: G13 to G17, and files that are none or change: G20, G21.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/formats/gguf_builder.h"
#include "tests/formats/test_files.h"
#include "tests/temp_dir.h"

namespace damask::formats::test {
namespace {

using std::string_view_literals::operator""sv;

constexpr uint32_t kTypeF32 = 0, kTypeQ8_0 = 8, kTypeQ4_K = 12, kTypeIQ3_S = 21, kTypeI8 = 24;

// A file of one tensor description and no data.
std::string Described(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims, uint64_t offset = 0) {
  return GgufBuilder().Describe(name, type, dims, offset).Build();
}

// Collects warnings while it lives.
class Warnings {
 public:
  Warnings() {
    SetLogSink([this](LogLevel, const std::string& line) { text_ += line + "\n"; });
  }
  ~Warnings() { SetLogSink({}); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

TEST(GgufTensorTest, ShapesHaveTheSlowestDimensionFirst) {
  const auto file = ParseGguf(SmallGguf());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const TensorInfo* tensor = file->FindTensor("blk.0.q");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->type, TensorType::kQ8_0);
  EXPECT_EQ(tensor->shape, (std::vector<uint64_t>{2, 32}));
  EXPECT_EQ(tensor->rows(), 2u);
  EXPECT_EQ(tensor->columns(), 32u);
  EXPECT_EQ(tensor->bytes, 68u);
  EXPECT_EQ(tensor->data[67], std::byte{1});
  EXPECT_EQ(file->FindTensor("norm.weight")->rows(), 1u);
  EXPECT_EQ(file->FindTensor("absent"), nullptr);
}

TEST(GgufTensorTest, AVocabularyOnlyFileNeedsNoTensorData) {
  GgufOpenOptions options;
  options.require_tensor_data = false;
  const auto file = ParseGguf(Described("a", kTypeF32, {4}), options);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->FindTensor("a")->data, nullptr);
}

TEST(GgufTensorTest, G13ATensorNameOf64BytesIsRefused) {
  EXPECT_TRUE(ParseGguf(GgufBuilder().Tensor(std::string(63, 'n'), kTypeI8, {1}, "x").Build()).ok());
  ExpectBadGguf(Described(std::string(64, 'n'), kTypeI8, {1}), StatusCode::kBadFormat, {"64 bytes", "at most 63"});
}

TEST(GgufTensorTest, G13AnEmptyTensorNameIsRefused) {
  ExpectBadGguf(Described("", kTypeI8, {1}), StatusCode::kBadFormat, {"without a name", "byte 24"});
}

TEST(GgufTensorTest, G13ATensorNameWithANulByteIsRefused) {
  ExpectBadGguf(Described("a\0b"sv, kTypeI8, {1}), StatusCode::kBadFormat, {"\\x00"});
}

TEST(GgufTensorTest, G13ATensorNameThatIsNotUtf8IsRefused) {
  ExpectBadGguf(Described("a\xc3", kTypeI8, {1}), StatusCode::kBadFormat, {"\\xc3", "UTF-8"});
}

TEST(GgufTensorTest, G13ATensorNameTwiceIsRefused) {
  ExpectBadGguf(GgufBuilder().Tensor("twin", kTypeI8, {1}, "x").Tensor("twin", kTypeI8, {1}, "x").Build(),
                StatusCode::kBadFormat, {"'twin'", "twice"});
}

TEST(GgufTensorTest, G14ATensorHasOneToFourDimensions) {
  ExpectBadGguf(Described("t", kTypeI8, {}), StatusCode::kBadFormat, {"'t'", "0 dimensions"});
  ExpectBadGguf(Described("t", kTypeI8, {1, 1, 1, 1, 1}), StatusCode::kBadFormat, {"'t'", "5 dimensions"});
  ExpectBadGguf(GgufBuilder().RawTensor(GgufString("t") + Le(0xffffffffu) + std::string(64, '\0')).Build(),
                StatusCode::kBadFormat, {"'t'", "4294967295 dimensions"});
}

TEST(GgufTensorTest, G14ADimensionOfZeroHoldsNoBytes) {
  const auto file = ParseGguf(GgufBuilder().Describe("t", kTypeF32, {4, 0}, 0).Tensor("u", kTypeI8, {1}, "x").Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(file->FindTensor("t")->bytes, 0u);
  EXPECT_EQ(file->FindTensor("t")->rows(), 0u);
}

TEST(GgufTensorTest, G14ADimensionOfZeroDoesNotHideAProductThatWraps) {
  ExpectBadGguf(Described("t", kTypeF32, {0, uint64_t{1} << 40, uint64_t{1} << 40}), StatusCode::kBadFormat, {"product"});
}

TEST(GgufTensorTest, G14ANegativeDimensionIsRefused) {
  ExpectBadGguf(Described("t", kTypeI8, {~uint64_t{0}}), StatusCode::kBadFormat, {"'t'", "product is over 2^63"});
}

TEST(GgufTensorTest, G14AProductOfDimensionsThatWrapsIsRefused) {
  ExpectBadGguf(Described("t", kTypeI8, {uint64_t{1} << 32, uint64_t{1} << 32}), StatusCode::kBadFormat, {"'t'", "product"});
  ExpectBadGguf(Described("t", kTypeI8, {uint64_t{1} << 21, uint64_t{1} << 21, uint64_t{1} << 21}), StatusCode::kBadFormat,
                {"'t'", "product"});
}

TEST(GgufTensorTest, G14RowsTimesBytesThatWrapAreRefused) {
  // 2^42 + 1 rows of 2^20 floats: elements fit 63 bits, bytes wrap 64.
  ExpectBadGguf(Described("t", kTypeF32, {uint64_t{1} << 20, (uint64_t{1} << 42) + 1}), StatusCode::kBadFormat,
                {"'t'", "2^64 bytes"});
  ExpectBadGguf(Described("t", 28, {(uint64_t{1} << 62)}), StatusCode::kBadFormat, {"'t'", "2^64 bytes"});
}

TEST(GgufTensorTest, G14ASumOfSizesThatWrapsIsRefused) {
  const uint64_t half = (uint64_t{1} << 63) - 64;
  GgufBuilder builder;
  builder.Describe("a", kTypeI8, {half}, 0).Describe("b", kTypeI8, {half}, half).Describe("c", kTypeI8, {half}, half + half);
  GgufOpenOptions options;
  options.require_tensor_data = false;
  const auto file = ParseGguf(builder.Build(), options);
  ASSERT_FALSE(file.ok());
  ExpectError(file.status(), StatusCode::kBadFormat, {"2^64"});
}

TEST(GgufTensorTest, G14ARowThatIsNoWholeNumberOfBlocksIsRefused) {
  ExpectBadGguf(Described("t", kTypeQ8_0, {33}), StatusCode::kBadFormat, {"'t'", "33", "Q8_0", "multiple of 32"});
  ExpectBadGguf(Described("t", kTypeQ4_K, {96, 8}), StatusCode::kBadFormat, {"'t'", "96", "Q4_K", "multiple of 256"});
}

TEST(GgufTensorTest, G15RemovedAndUnknownTypesAreUnsupportedByNumber) {
  for (const uint32_t type : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 1000000u}) {
    ExpectBadGguf(Described("t", type, {32}), StatusCode::kUnsupported, {"'t'", "type " + std::to_string(type)});
  }
  ExpectBadGguf(Described("t", 0xffffffff, {32}), StatusCode::kUnsupported, {"'t'", "type -1"});
}

TEST(GgufTensorTest, G15ATypeWithoutKernelsIsReadForInformationAndNotRunnable) {
  const auto file = ParseGguf(GgufBuilder().Tensor("t", kTypeIQ3_S, {256}, std::string(110, '\0')).Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const TensorTypeInfo& type = GetTensorType(file->FindTensor("t")->type);
  EXPECT_EQ(type.name, "IQ3_S");
  EXPECT_FALSE(type.runnable);
}

TEST(GgufTensorTest, G16AnOffsetOffTheAlignmentIsRefused) {
  ExpectBadGguf(GgufBuilder().Describe("t", kTypeI8, {1}, 1).Data("xxx").Build(), StatusCode::kBadFormat, {"'t'", "offset 1"});
}

TEST(GgufTensorTest, G16AnOffsetBehindTheFileIsRefused) {
  ExpectBadGguf(GgufBuilder().Describe("t", kTypeI8, {1}, 4096).Data("x").Build(), StatusCode::kBadFormat,
                {"'t'", "offset 4096"});
  ExpectBadGguf(GgufBuilder().Describe("t", kTypeI8, {4096}, 0).Data("x").Build(), StatusCode::kTruncated,
                {"'t'", "ends at byte"});
}

TEST(GgufTensorTest, G16AnOffsetThatWrapsIsRefused) {
  ExpectBadGguf(GgufBuilder().Describe("t", kTypeI8, {64}, ~uint64_t{31}).Data("x").Build(), StatusCode::kBadFormat,
                {"'t'", "offset"});
}

TEST(GgufTensorTest, G16OverlapGapAndWrongOrderAreRefused) {
  const std::string data(128, 'x');
  ExpectBadGguf(GgufBuilder().Describe("a", kTypeI8, {64}, 0).Describe("b", kTypeI8, {64}, 32).Data(data).Build(),
                StatusCode::kBadFormat, {"'b'", "offset 32, expected 64"});
  ExpectBadGguf(GgufBuilder().Describe("a", kTypeI8, {32}, 0).Describe("b", kTypeI8, {32}, 64).Data(data).Build(),
                StatusCode::kBadFormat, {"'b'", "offset 64, expected 32"});
  ExpectBadGguf(GgufBuilder().Describe("b", kTypeI8, {32}, 32).Describe("a", kTypeI8, {32}, 0).Data(data).Build(),
                StatusCode::kBadFormat, {"'b'", "offset 32, expected 0"});
}

TEST(GgufTensorTest, G17DataShorterByOneByteIsTruncated) {
  GgufBuilder builder;
  builder.Tensor("t", kTypeI8, {32}, std::string(32, 'x'));
  const std::string whole = builder.Build();
  EXPECT_TRUE(ParseGguf(whole).ok());
  ExpectBadGguf(whole.substr(0, whole.size() - 1), StatusCode::kTruncated,
                {"'t'", std::to_string(whole.size()), std::to_string(whole.size() - 1)});
}

TEST(GgufTensorTest, G17AMissingPaddingOfTheLastTensorIsAccepted) {
  GgufBuilder builder;
  builder.Tensor("t", kTypeI8, {1}, "x");
  EXPECT_TRUE(ParseGguf(builder.Build().substr(0, builder.data_begin() + 1)).ok());
}

TEST(GgufTensorTest, G17AFileLongerThanNeededIsReadWithAWarning) {
  const Warnings warnings;
  const auto file = ParseGguf(GgufBuilder().Tensor("t", kTypeI8, {1}, "x").Build() + "tail!");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_NE(warnings.text().find("5 bytes follow the last tensor"), std::string::npos) << warnings.text();
}

// A first shard without tensors (llama-gguf-split --no-tensor-first-split) is a header and its padding.
TEST(GgufTensorTest, G17ThePaddingOfAFileWithoutTensorsIsNoTail) {
  std::string bytes = GgufBuilder().U8("a", 1).Build();
  ASSERT_NE(bytes.size() % 32, 0u);
  const Warnings warnings;
  EXPECT_TRUE(ParseGguf(bytes).ok());
  bytes.resize((bytes.size() + 31) / 32 * 32);
  EXPECT_TRUE(ParseGguf(bytes).ok());
  EXPECT_EQ(warnings.text(), "");
  EXPECT_TRUE(ParseGguf(bytes + "tail!").ok());
  EXPECT_NE(warnings.text().find("5 bytes follow the last tensor"), std::string::npos) << warnings.text();
}

TEST(GgufTensorTest, BytesInMemoryMustBeAligned) {
  const std::string bytes = "12345678" + SmallGguf();
  const MemoryFile memory(bytes);
  const auto shifted = FileBytes::Borrow(memory.file()->bytes().subspan(4), "shifted");
  ExpectError(GgufFile::Parse(shifted, {}).status(), StatusCode::kInvalidArgument, {"aligned"});
}

// Under mmap such a file may end the process (file.h says so); read into memory it must not.
TEST(GgufTensorTest, G20AFileThatShrinksIsHarmlessWhenReadIntoMemory) {
  const damask::test::TempDir folder;
  const std::string path = folder.Write("m.gguf", SmallGguf());
  GgufOpenOptions options;
  options.load = LoadMode::kRead;
  const auto file = GgufFile::Open(path, options);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  const TensorInfo* tensor = (*file)->FindTensor("blk.0.q");
  EXPECT_EQ(tensor->data[tensor->bytes - 1], std::byte{1});
}

TEST(GgufTensorTest, G20BothWaysOfReadingGiveTheSame) {
  const damask::test::TempDir folder;
  const std::string path = folder.Write("m.gguf", SmallGguf());
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
    GgufOpenOptions options;
    options.load = mode;
    const auto file = GgufFile::Open(path, options);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    EXPECT_EQ((*file)->path(), path);
    EXPECT_EQ((*file)->FindTensor("blk.0.q")->data[67], std::byte{1});
  }
}

TEST(GgufTensorTest, G21WhatIsNoReadableFileIsAnIoError) {
  const damask::test::TempDir folder;
  const auto expect_io = [](const std::string& path, std::initializer_list<std::string_view> parts) {
    ExpectError(GgufFile::Open(path, {}).status(), StatusCode::kIo, parts);
  };
  expect_io(folder.path(), {folder.path(), "directory"});
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  expect_io(folder.File("pipe"), {"pipe", "not a regular file"});
  expect_io("/dev/zero", {"/dev/zero", "not a regular file"});
  std::filesystem::create_symlink(folder.File("nothing"), folder.File("dangling"));
  expect_io(folder.File("dangling"), {"dangling"});
  expect_io(folder.File("new\nline\xff"), {"\\x0a", "\\xff"});
}

TEST(GgufTensorTest, G21AFileWithoutPermissionIsAnIoError) {
  const damask::test::TempDir folder;
  const std::string path = folder.Write("m.gguf", SmallGguf());
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  // Root may read everything: be nobody for a moment.
  constexpr uid_t kNobody = 65534;
  const uid_t self = geteuid();
  if (self == 0) {
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  const Status status = GgufFile::Open(path, {}).status();
  ASSERT_EQ(seteuid(self), 0);
  ExpectError(status, StatusCode::kIo, {"m.gguf", "Permission denied"});
}

// A sparse file: 5 GiB by its size, a few kilobytes on the disk.
TEST(GgufTensorTest, G21OffsetsBeyond4GiBAreRead) {
  const damask::test::TempDir folder;
  const uint64_t big = (uint64_t{5} << 30);
  GgufBuilder builder;
  builder.Describe("big", kTypeI8, {big}, 0).Describe("end", kTypeI8, {1}, big);
  const std::string path = folder.Write("big.gguf", builder.Build());
  const uint64_t end = builder.data_begin() + big;
  if (truncate(path.c_str(), static_cast<off_t>(end)) != 0) GTEST_SKIP() << "no sparse files here";
  std::ofstream(path, std::ios::binary | std::ios::app) << 'x';
  const auto file = GgufFile::Open(path, {});
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ((*file)->FindTensor("end")->data[0], std::byte{'x'});
}

}  // namespace
}  // namespace damask::formats::test
