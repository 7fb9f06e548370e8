#include "formats/gguf_writer.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/write_file.h"
#include "formats/gguf.h"
#include "tests/temp_dir.h"

namespace damask::formats {
namespace {

class GgufWriterTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.File(name); }

  size_t NumFiles() const {
    const std::filesystem::directory_iterator files(folder_.path());
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  static std::shared_ptr<const GgufFile> Read(const std::string& path) {
    auto file = GgufFile::Open(path, {});
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? file.value() : nullptr;
  }

 private:
  test::TempDir folder_;
};

// Every byte of tensor i is i + 1, handed over in pieces of 7 bytes.
GgufWriter::Source NumberedBytes(const GgufWriter& writer) {
  return [&writer](size_t index, const GgufWriter::Sink& sink) -> Status {
    const std::vector<std::byte> piece(7, static_cast<std::byte>(index + 1));
    for (uint64_t left = writer.tensor_bytes(index); left > 0;) {
      const uint64_t now = std::min<uint64_t>(left, piece.size());
      DAMASK_RETURN_IF_ERROR(sink(std::span(piece).first(now)));
      left -= now;
    }
    return {};
  };
}

void ExpectNumberedBytes(const TensorInfo& tensor, int expected) {
  for (uint64_t i = 0; i < tensor.bytes; ++i)
    ASSERT_EQ(static_cast<int>(tensor.data[i]), expected) << tensor.name << " byte " << i;
}

template <typename T>
void ExpectScalar(const GgufFile& file, const char* key, T expected) {
  const GgufValue* value = file.FindKey(key);
  ASSERT_NE(value, nullptr) << key;
  ASSERT_TRUE(std::holds_alternative<T>(*value)) << key << " is a " << GgufTypeName(*value);
  EXPECT_EQ(std::get<T>(*value), expected) << key;
}

template <typename T>
void ExpectArray(const GgufFile& file, const char* key, const std::vector<T>& expected) {
  const GgufValue* value = file.FindKey(key);
  ASSERT_NE(value, nullptr) << key;
  ASSERT_TRUE(std::holds_alternative<GgufArray>(*value)) << key << " is a " << GgufTypeName(*value);
  ASSERT_TRUE(std::holds_alternative<std::vector<T>>(std::get<GgufArray>(*value))) << key << " is an " << GgufTypeName(*value);
  EXPECT_EQ(std::get<std::vector<T>>(std::get<GgufArray>(*value)), expected) << key;
}

TEST_F(GgufWriterTest, ScalarsOfEveryTypeReadBack) {
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.Add("a.u8", uint8_t{255});
  writer.Add("a.i8", int8_t{-128});
  writer.Add("a.u16", uint16_t{65535});
  writer.Add("a.i16", int16_t{-32768});
  writer.Add("a.u32", uint32_t{4000000000});
  writer.Add("a.i32", int32_t{-2000000000});
  writer.Add("a.u64", uint64_t{1} << 63);
  writer.Add("a.i64", int64_t{-1} << 40);
  writer.Add("a.f32", 0.1f);
  writer.Add("a.f64", 0.1);
  writer.Add("a.bool", true);
  writer.Add("a.text", std::string("gr\u00fc\u00dfe"));
  ASSERT_TRUE(writer.Write(Path("x.gguf"), NumberedBytes(writer)).ok());
  const auto file = Read(Path("x.gguf"));
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->metadata().size(), 13u);
  ExpectScalar(*file, "a.u8", uint8_t{255});
  ExpectScalar(*file, "a.i8", int8_t{-128});
  ExpectScalar(*file, "a.u16", uint16_t{65535});
  ExpectScalar(*file, "a.i16", int16_t{-32768});
  ExpectScalar(*file, "a.u32", uint32_t{4000000000});
  ExpectScalar(*file, "a.i32", int32_t{-2000000000});
  ExpectScalar(*file, "a.u64", uint64_t{1} << 63);
  ExpectScalar(*file, "a.i64", int64_t{-1} << 40);
  ExpectScalar(*file, "a.f32", 0.1f);
  ExpectScalar(*file, "a.f64", 0.1);
  ExpectScalar(*file, "a.bool", true);
  ExpectScalar<std::string_view>(*file, "a.text", "gr\u00fc\u00dfe");
}

TEST_F(GgufWriterTest, ArraysOfEveryTypeReadBack) {
  const std::vector<uint8_t> u8 = {1, 255};
  const std::vector<int8_t> i8 = {-1, 127};
  const std::vector<uint16_t> u16 = {1, 65535};
  const std::vector<int16_t> i16 = {-1, 32767};
  const std::vector<uint32_t> u32 = {1, 4000000000};
  const std::vector<int32_t> i32 = {-1, 2000000000};
  const std::vector<uint64_t> u64 = {1, uint64_t{1} << 63};
  const std::vector<int64_t> i64 = {-1, int64_t{1} << 62};
  const std::vector<float> f32 = {0.1f, -3.0f};
  const std::vector<double> f64 = {0.1, -3.0};
  const std::vector<bool> bools = {true, false, true};
  const std::vector<std::string> texts = {"", "b", "long enough to be on the heap of any library"};
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.AddArray("a.u8", u8);
  writer.AddArray("a.i8", i8);
  writer.AddArray("a.u16", u16);
  writer.AddArray("a.i16", i16);
  writer.AddArray("a.u32", u32);
  writer.AddArray("a.i32", i32);
  writer.AddArray("a.u64", u64);
  writer.AddArray("a.i64", i64);
  writer.AddArray("a.f32", f32);
  writer.AddArray("a.f64", f64);
  writer.AddArray("a.bool", bools);
  writer.AddArray("a.text", texts);
  ASSERT_TRUE(writer.Write(Path("x.gguf"), NumberedBytes(writer)).ok());
  const auto file = Read(Path("x.gguf"));
  ASSERT_NE(file, nullptr);
  ExpectArray(*file, "a.u8", u8);
  ExpectArray(*file, "a.i8", i8);
  ExpectArray(*file, "a.u16", u16);
  ExpectArray(*file, "a.i16", i16);
  ExpectArray(*file, "a.u32", u32);
  ExpectArray(*file, "a.i32", i32);
  ExpectArray(*file, "a.u64", u64);
  ExpectArray(*file, "a.i64", i64);
  ExpectArray(*file, "a.f32", f32);
  ExpectArray(*file, "a.f64", f64);
  ExpectArray(*file, "a.bool", bools);
  ExpectArray(*file, "a.text", std::vector<std::string_view>(texts.begin(), texts.end()));
}

GgufWriter ThreeTensors() {
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.AddTensor("one", TensorType::kF32, {3});           // 12 bytes: padding follows
  writer.AddTensor("two", TensorType::kQ8_0, {5, 64});      // 340 bytes
  writer.AddTensor("three", TensorType::kBF16, {2, 3, 4});  // 48 bytes
  return writer;
}

TEST_F(GgufWriterTest, TensorsReadBackInOrderWithTheirBytes) {
  const GgufWriter writer = ThreeTensors();
  ASSERT_TRUE(writer.Write(Path("x.gguf"), NumberedBytes(writer)).ok());
  const auto file = Read(Path("x.gguf"));
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[0].name, "one");
  EXPECT_EQ(file->tensors()[1].type, TensorType::kQ8_0);
  EXPECT_EQ(file->tensors()[2].shape, (std::vector<uint64_t>{2, 3, 4}));
  for (int i = 0; i < 3; ++i) ExpectNumberedBytes(file->tensors()[static_cast<size_t>(i)], i + 1);
}

TEST_F(GgufWriterTest, TensorsLieAlignedWithoutGapsUpToTheEnd) {
  for (const uint32_t alignment : {8u, 32u, 256u}) {
    GgufWriter writer = ThreeTensors();
    writer.set_alignment(alignment);
    ASSERT_TRUE(writer.Write(Path("x.gguf"), NumberedBytes(writer)).ok());
    const auto file = Read(Path("x.gguf"));
    ASSERT_NE(file, nullptr);
    const auto round_up = [&](uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; };
    const std::byte* first = file->tensors()[0].data;
    EXPECT_EQ(file->tensors()[1].data - first, static_cast<ptrdiff_t>(round_up(12)));
    EXPECT_EQ(file->tensors()[2].data - file->tensors()[1].data, static_cast<ptrdiff_t>(round_up(340)));
    const uint64_t data_bytes = round_up(12) + round_up(340) + round_up(48);
    EXPECT_EQ((file->file_bytes() - data_bytes) % alignment, 0u);
    EXPECT_EQ(file->FindKey("general.alignment") != nullptr, alignment != 32);
  }
}

TEST_F(GgufWriterTest, ShardsReadBackAsOneModel) {
  const GgufWriter writer = ThreeTensors();
  const auto paths = writer.WriteSplit(Path("x"), 2, NumberedBytes(writer));
  ASSERT_TRUE(paths.ok()) << paths.status().ToString();
  EXPECT_EQ(paths.value(), (std::vector<std::string>{Path("x-00001-of-00002.gguf"), Path("x-00002-of-00002.gguf")}));
  const auto file = Read(paths.value()[0]);
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(file->tensors().size(), 3u);
  for (int i = 0; i < 3; ++i) ExpectNumberedBytes(file->tensors()[static_cast<size_t>(i)], i + 1);
  EXPECT_EQ(file->tensors()[2].shard, 1u);
  ExpectScalar(*file, "split.no", uint16_t{0});
  ExpectScalar(*file, "split.count", uint16_t{2});
  ExpectScalar(*file, "split.tensors.count", int32_t{3});
}

TEST_F(GgufWriterTest, AFailingSourceLeavesNoFileBehind) {
  const GgufWriter writer = ThreeTensors();
  const GgufWriter::Source fails_late = [&](size_t index, const GgufWriter::Sink& sink) -> Status {
    if (index == 2) return IoError("the well is dry");
    return NumberedBytes(writer)(index, sink);
  };
  const Status status = writer.Write(Path("x.gguf"), fails_late);
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_EQ(NumFiles(), 0u);
}

TEST_F(GgufWriterTest, AFailingSourceLeavesTheOldFileAlone) {
  ASSERT_TRUE(WriteFileAtomically(Path("x.gguf"), "old").ok());
  const GgufWriter writer = ThreeTensors();
  EXPECT_FALSE(writer.Write(Path("x.gguf"), [](size_t, const GgufWriter::Sink&) { return IoError("no"); }).ok());
  EXPECT_EQ(ReadTextFile(Path("x.gguf"), 100).value(), "old");
  EXPECT_EQ(NumFiles(), 1u);
}

TEST_F(GgufWriterTest, TooFewBytesAreRefusedWithTheTensorsName) {
  const GgufWriter writer = ThreeTensors();
  const Status status = writer.Write(Path("x.gguf"), [](size_t, const GgufWriter::Sink&) { return Status(); });
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.ToString().find("'one'"), std::string::npos) << status.ToString();
  EXPECT_EQ(NumFiles(), 0u);
}

TEST_F(GgufWriterTest, TooManyBytesAreRefused) {
  const GgufWriter writer = ThreeTensors();
  const std::vector<std::byte> bytes(13);
  const Status status = writer.Write(Path("x.gguf"), [&](size_t, const GgufWriter::Sink& sink) { return sink(bytes); });
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(NumFiles(), 0u);
}

TEST_F(GgufWriterTest, MistakesInDeclarationsAreToldByWrite) {
  struct Case {
    const char* what;
    void (*make)(GgufWriter* writer);
  };
  const Case cases[] = {
      {"key twice",
       [](GgufWriter* w) {
         w->Add("a", 1u);
         w->Add("a", 2u);
       }},
      {"empty key", [](GgufWriter* w) { w->Add("", 1u); }},
      {"alignment as a key", [](GgufWriter* w) { w->Add("general.alignment", 32u); }},
      {"alignment no power of two", [](GgufWriter* w) { w->set_alignment(24); }},
      {"alignment below 8", [](GgufWriter* w) { w->set_alignment(4); }},
      {"tensor twice",
       [](GgufWriter* w) {
         w->AddTensor("t", TensorType::kF32, {1});
         w->AddTensor("t", TensorType::kF32, {1});
       }},
      {"long tensor name", [](GgufWriter* w) { w->AddTensor(std::string(64, 'n'), TensorType::kF32, {1}); }},
      {"no dimension", [](GgufWriter* w) { w->AddTensor("t", TensorType::kF32, {}); }},
      {"five dimensions",
       [](GgufWriter* w) {
         w->AddTensor("t", TensorType::kF32, {1, 1, 1, 1, 1});
       }},
      {"a dimension of 0",
       [](GgufWriter* w) {
         w->AddTensor("t", TensorType::kF32, {0, 4});
       }},
      {"row no multiple of the block",
       [](GgufWriter* w) {
         w->AddTensor("t", TensorType::kQ4_K, {2, 320});
       }},
      {"bytes over 2^64",
       [](GgufWriter* w) {
         w->AddTensor("t", TensorType::kF32, {uint64_t{1} << 40, uint64_t{1} << 40});
       }},
  };
  for (const Case& c : cases) {
    GgufWriter writer;
    c.make(&writer);
    const Status status = writer.Write(Path("x.gguf"), [](size_t, const GgufWriter::Sink&) { return Status(); });
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.what;
    EXPECT_EQ(NumFiles(), 0u) << c.what;
  }
}

TEST_F(GgufWriterTest, AFolderThatIsNotThereFails) {
  const GgufWriter writer = ThreeTensors();
  EXPECT_EQ(writer.Write(Path("no/such/x.gguf"), NumberedBytes(writer)).code(), StatusCode::kWriteFailed);
}

}  // namespace
}  // namespace damask::formats
