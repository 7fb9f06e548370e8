// BAD_INPUT section 4, single files: S01 to S06.
#include "formats/safetensors.h"

#include <string>

#include <gtest/gtest.h>

#include "formats/check.h"
#include "tests/formats/safetensors_builder.h"
#include "tests/formats/test_files.h"

namespace damask::formats::test {
namespace {

void ExpectBad(const std::string& bytes, StatusCode code, std::initializer_list<std::string_view> parts) {
  const auto files = ParseSafetensors(bytes);
  ASSERT_FALSE(files.ok());
  ExpectError(files.status(), code, parts);
}

// A file whose header is this one entry, with `num_bytes` of data.
void ExpectBadEntry(const std::string& entry, size_t num_bytes, StatusCode code,
                    std::initializer_list<std::string_view> parts) {
  ExpectBad(SafetensorsFile("{" + entry + "}", std::string(num_bytes, 'x')), code, parts);
}

TEST(SafetensorsTest, ASoundFileIsReadWhole) {
  const auto files = ParseSafetensors(SmallSafetensors());
  ASSERT_TRUE(files.ok()) << files.status().ToString();
  ASSERT_EQ(files->tensors().size(), 3u);
  const auto a = files->Find("a");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ((*a)->type, TensorType::kF32);
  EXPECT_EQ((*a)->shape, (std::vector<uint64_t>{2}));
  float values[2];
  ASSERT_EQ((*a)->bytes, sizeof(values));
  std::memcpy(values, (*a)->data, sizeof(values));
  EXPECT_EQ(values[1], 2.f);
  EXPECT_EQ((*files->Find("b"))->type, TensorType::kBF16);
  EXPECT_EQ((*files->Find("b"))->rows(), 2u);
  EXPECT_EQ((*files->Find("c"))->type, TensorType::kF16);
  EXPECT_EQ(files->file_bytes(), SmallSafetensors().size());
  ExpectError(files->Find("d").status(), StatusCode::kNotFound, {"'d'"});
}

TEST(SafetensorsTest, S01AFileOfLessThanEightBytesIsTruncated) {
  ExpectBad("", StatusCode::kTruncated, {"header's length"});
  ExpectBad("1234567", StatusCode::kTruncated, {"header's length"});
}

TEST(SafetensorsTest, S01AHeaderLengthOfZeroIsRefused) {
  ExpectBad(SafetensorsFile("", "data"), StatusCode::kBadFormat, {"length 0"});
}

TEST(SafetensorsTest, S01AHeaderLongerThanTheFileIsTruncated) {
  ExpectBad(SafetensorsFile("{}", "", 3), StatusCode::kTruncated, {"the header", "3 bytes expected, 2 left"});
  ExpectBad(SafetensorsFile("{}", "", 100'000'000), StatusCode::kTruncated, {"the header"});
}

TEST(SafetensorsTest, S01AHeaderOverTheLimitIsRefusedBeforeAnyAllocation) {
  const AllocationWatch watch;
  ExpectBad(SafetensorsFile("{}", "", 100'000'001), StatusCode::kBadFormat, {"100000001", "at most 100000000"});
  ExpectBad(SafetensorsFile("{}", "", ~uint64_t{0}), StatusCode::kBadFormat, {"18446744073709551615"});
  EXPECT_LT(watch.bytes(), 65536u);
}

TEST(SafetensorsTest, S01AFileCutAtAnyByteIsRefused) {
  const std::string whole = SmallSafetensors();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseSafetensors(whole.substr(0, size)).ok()) << "cut at byte " << size;
    const MemoryFile memory(whole.substr(0, size));
    EXPECT_FALSE(CheckModelBytes(memory.file()).empty()) << "cut at byte " << size;
  }
}

TEST(SafetensorsTest, S01AChangedByteIsNeverACrash) {
  const std::string whole = SmallSafetensors();
  size_t refused = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int change = 1; change < 256; change += 2) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ change);
      refused += ParseSafetensors(changed).ok() ? 0 : 1;
      const MemoryFile memory(changed);
      CheckModelBytes(memory.file());
    }
  }
  EXPECT_GT(refused, whole.size() * 64);
}

TEST(SafetensorsTest, S02AHeaderThatIsNotUtf8IsRefused) {
  ExpectBad(SafetensorsFile("{\"\xff\":1}", ""), StatusCode::kBadFormat, {"UTF-8", "byte"});
}

TEST(SafetensorsTest, S02AHeaderThatIsNoObjectIsRefused) {
  ExpectBad(SafetensorsFile("[]", ""), StatusCode::kBadFormat, {"begins with '['"});
  ExpectBad(SafetensorsFile(" {}", ""), StatusCode::kBadFormat, {"begins with ' '"});
}

TEST(SafetensorsTest, S02AHeaderThatIsCutIsRefused) {
  ExpectBad(SafetensorsFile("{\"a\":{", ""), StatusCode::kBadFormat, {"ends with '{'"});
  ExpectBad(SafetensorsFile("{\"a\":{}", ""), StatusCode::kBadFormat, {"'a'"});
}

TEST(SafetensorsTest, S02OnlySpacesMayFollowTheHeader) {
  EXPECT_TRUE(ParseSafetensors(SafetensorsFile("{}    ", "")).ok());
  ExpectBad(SafetensorsFile("{}\n", ""), StatusCode::kBadFormat, {"ends with '\\x0a'"});
  ExpectBad(SafetensorsFile(std::string("{}\0", 3), ""), StatusCode::kBadFormat, {"ends with '\\x00'"});
  ExpectBad(SafetensorsFile("{}{}", ""), StatusCode::kBadFormat, {"byte"});
  ExpectBad(SafetensorsFile(std::string("{}\0}", 4), ""), StatusCode::kBadFormat, {"NUL"});
}

TEST(SafetensorsTest, S02DeepNestingIsRefusedWithoutAStackOverflow) {
  const std::string deep(100000, '[');
  ExpectBad(SafetensorsFile("{\"a\":" + deep + std::string(100000, ']') + "}", ""), StatusCode::kBadFormat, {"'a'", "'['"});
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  ExpectBad(SafetensorsFile(objects + std::string(100000, '}'), ""), StatusCode::kBadFormat, {"'a'"});
}

TEST(SafetensorsTest, S03ATensorTwiceIsRefused) {
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[0, 4]") + "," + EntryText("w", "F32", "[1]", "[4, 8]"), 8,
                 StatusCode::kBadFormat, {"'w'", "twice"});
  // The same name in another spelling.
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[0, 4]") + "," + EntryText("\\u0077", "F32", "[1]", "[4, 8]"), 8,
                 StatusCode::kBadFormat, {"'w'", "twice"});
}

TEST(SafetensorsTest, S03AFieldTwiceIsRefused) {
  ExpectBadEntry(R"("w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})", 4, StatusCode::kBadFormat,
                 {"'w'", "dtype occurs twice"});
}

TEST(SafetensorsTest, S03MetadataMapsTextToText) {
  EXPECT_TRUE(ParseSafetensors(SafetensorsFile(R"({"__metadata__":{}})", "")).ok());
  EXPECT_TRUE(ParseSafetensors(SafetensorsFile(R"({"__metadata__":{"a":"b"}})", "")).ok());
  for (const char* metadata : {"1", "\"text\"", "[]", "null", R"({"a":1})", R"({"a":{}})", R"({"a":null})", R"({"a":["b"]})"}) {
    ExpectBad(SafetensorsFile(std::string("{\"__metadata__\":") + metadata + "}", ""), StatusCode::kBadFormat,
              {"__metadata__"});
  }
  ExpectBad(SafetensorsFile(R"({"__metadata__":{"a":"b","a":"b"}})", ""), StatusCode::kBadFormat, {"'a'", "twice"});
  ExpectBad(SafetensorsFile(R"({"__metadata__":{},"__metadata__":{}})", ""), StatusCode::kBadFormat, {"__metadata__", "twice"});
}

TEST(SafetensorsTest, S03MissingAndUnknownFieldsAreRefused) {
  ExpectBadEntry(R"("w":{"shape":[1],"data_offsets":[0,4]})", 4, StatusCode::kBadFormat, {"'w'", "dtype is missing"});
  ExpectBadEntry(R"("w":{"dtype":"F32","data_offsets":[0,4]})", 4, StatusCode::kBadFormat, {"'w'", "shape is missing"});
  ExpectBadEntry(R"("w":{"dtype":"F32","shape":[1]})", 4, StatusCode::kBadFormat, {"'w'", "data_offsets is missing"});
  ExpectBadEntry(R"("w":{"dtype":"F32","colour":"red"})", 4, StatusCode::kBadFormat, {"'w'", "colour"});
  ExpectBadEntry(R"("w":[])", 0, StatusCode::kBadFormat, {"'w'", "expected an object"});
  ExpectBadEntry(R"("w":{"dtype":1})", 0, StatusCode::kBadFormat, {"'w'", "found '1'", "dtype"});
  ExpectBadEntry(R"("":{})", 0, StatusCode::kBadFormat, {"without a name"});
}

TEST(SafetensorsTest, S04OtherDtypesAreUnsupportedWhenTheyAreUsed) {
  for (const char* dtype : {"F8_E4M3", "BOOL", "I8", "QX_9"}) {
    const auto files = ParseSafetensors(SafetensorsFile("{" + EntryText("w", dtype, "[4]", "[0, 4]") + "}", "1234"));
    ASSERT_TRUE(files.ok()) << files.status().ToString();
    EXPECT_TRUE(files->tensors().empty());
    ExpectError(files->Find("w").status(), StatusCode::kUnsupported, {"'w'", dtype});
  }
  EXPECT_TRUE(ParseSafetensors(SafetensorsFile("{" + EntryText("w", "F4", "[4]", "[0, 2]") + "}", "12")).ok());
  EXPECT_TRUE(ParseSafetensors(SafetensorsFile("{" + EntryText("w", "C64", "[1]", "[0, 8]") + "}", "12345678")).ok());
}

TEST(SafetensorsTest, S04DimensionsAreIntegersThatAreNotNegative) {
  for (const char* shape : {"[-1]", "[1.0]", "[1e3]", "[true]", "[null]", "[\"1\"]", "[[1]]", "[{}]", "1", "null"}) {
    ExpectBadEntry(EntryText("w", "F32", shape, "[0, 4]"), 4, StatusCode::kBadFormat, {"'w'", "expected"});
  }
  ExpectBadEntry(EntryText("w", "F32", "[9007199254740993]", "[0, 4]"), 4, StatusCode::kBadFormat, {"'w'", "2^53"});
  ExpectBadEntry(EntryText("w", "F32", "[18446744073709551616]", "[0, 4]"), 4, StatusCode::kBadFormat, {"'w'"});
  ExpectBadEntry(EntryText("w", "F32", "[1e999]", "[0, 4]"), 4, StatusCode::kBadFormat, {"out of range"});
}

TEST(SafetensorsTest, S04AProductThatWrapsIsRefused) {
  ExpectBadEntry(EntryText("w", "F32", "[4294967296, 4294967296]", "[0, 0]"), 0, StatusCode::kBadFormat, {"'w'", "2^64"});
  ExpectBadEntry(EntryText("w", "F32", "[4294967296, 1073741824]", "[0, 0]"), 0, StatusCode::kBadFormat, {"'w'", "2^64"});
  ExpectBadEntry(EntryText("w", "F32", "[0, 4294967296, 4294967296]", "[0, 0]"), 0, StatusCode::kBadFormat, {"'w'", "2^64"});
}

TEST(SafetensorsTest, S04ManyDimensionsAreRefused) {
  std::string shape = "[1";
  for (int i = 0; i < 100; ++i) shape += ",1";
  ExpectBadEntry(EntryText("w", "F32", shape + "]", "[0, 4]"), 4, StatusCode::kBadFormat, {"'w'", "64 dimensions"});
}

TEST(SafetensorsTest, S05OffsetsAreTwoIntegersInOrder) {
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[4, 0]"), 4, StatusCode::kBadFormat, {"'w'", "backwards"});
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[0]"), 4, StatusCode::kBadFormat, {"'w'", "1 elements, expected 2"});
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[]"), 4, StatusCode::kBadFormat, {"'w'", "0 elements, expected 2"});
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[0, 4, 8]"), 4, StatusCode::kBadFormat, {"'w'", "more than two"});
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[0, -4]"), 4, StatusCode::kBadFormat, {"'w'", "not negative"});
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[0, 4.0]"), 4, StatusCode::kBadFormat, {"'w'", "'4.0'"});
}

TEST(SafetensorsTest, S05OffsetsBehindTheDataAreRefused) {
  ExpectBadEntry(EntryText("w", "F32", "[2]", "[0, 8]"), 7, StatusCode::kTruncated, {"'w'", "[0, 8]", "7 bytes"});
  ExpectBadEntry(EntryText("w", "F32", "[1]", "[18446744073709551612, 18446744073709551615]"), 4, StatusCode::kBadFormat,
                 {"'w'"});
}

TEST(SafetensorsTest, S05OffsetsMustHoldShapeAndDtype) {
  ExpectBadEntry(EntryText("w", "F32", "[3]", "[0, 8]"), 8, StatusCode::kBadFormat, {"'w'", "hold 8 bytes", "need 12"});
  ExpectBadEntry(EntryText("w", "F16", "[3]", "[0, 8]"), 8, StatusCode::kBadFormat, {"'w'", "hold 8 bytes", "need 6"});
  ExpectBadEntry(EntryText("w", "F4", "[3]", "[0, 2]"), 2, StatusCode::kBadFormat, {"'w'"});
}

TEST(SafetensorsTest, S05OverlapAndHoleAreRefused) {
  ExpectBadEntry(EntryText("a", "F32", "[2]", "[0, 8]") + "," + EntryText("b", "F32", "[2]", "[4, 12]"), 12,
                 StatusCode::kBadFormat, {"'b'", "an overlap", "begin at 8"});
  ExpectBadEntry(EntryText("a", "F32", "[2]", "[0, 8]") + "," + EntryText("b", "F32", "[1]", "[12, 16]"), 16,
                 StatusCode::kBadFormat, {"'b'", "a hole", "begin at 8"});
  ExpectBadEntry(EntryText("a", "F32", "[1]", "[4, 8]"), 8, StatusCode::kBadFormat, {"'a'", "a hole", "begin at 0"});
}

TEST(SafetensorsTest, S05DataBehindTheLastTensorIsRefused) {
  ExpectBadEntry(EntryText("a", "F32", "[1]", "[0, 4]"), 5, StatusCode::kBadFormat, {"1 bytes of data belong to no tensor"});
  ExpectBad(SafetensorsFile("{}", "x"), StatusCode::kBadFormat, {"1 bytes of data belong to no tensor"});
}

TEST(SafetensorsTest, S05AnEmptyTensorMayShareAnOffsetAndHasNoBytes) {
  const auto files = ParseSafetensors(SafetensorsFile("{" + EntryText("full", "F32", "[1]", "[0, 4]") + "," +
                                                          EntryText("none", "F32", "[0, 7]", "[0, 0]") + "," +
                                                          EntryText("last", "F16", "[0]", "[4, 4]") + "}",
                                                      "1234"));
  ASSERT_TRUE(files.ok()) << files.status().ToString();
  for (const char* name : {"none", "last"}) {
    EXPECT_EQ((*files->Find(name))->bytes, 0u);
    EXPECT_EQ((*files->Find(name))->data, nullptr);
  }
  ExpectBadEntry(EntryText("full", "F32", "[2]", "[0, 8]") + "," + EntryText("none", "F32", "[0]", "[4, 4]"), 8,
                 StatusCode::kBadFormat, {"'none'"});
}

TEST(SafetensorsTest, S06AnEmptyShapeIsAScalar) {
  const auto files = ParseSafetensors(SmallSafetensors());
  ASSERT_TRUE(files.ok()) << files.status().ToString();
  const TensorInfo& scalar = **files->Find("c");
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(scalar.rows(), 1u);
  EXPECT_EQ(scalar.columns(), 1u);
  EXPECT_EQ(scalar.bytes, 2u);
}

TEST(SafetensorsTest, S06TensorsAtOddAddressesAreCopied) {
  // An odd header length, and a float behind a single byte.
  std::string header = "{" + EntryText("one", "U8", "[1]", "[0, 1]") + "," + EntryText("w", "F32", "[1]", "[1, 5]") + "}";
  for (int shift = 0; shift < 4; ++shift) {
    const auto files = ParseSafetensors(SafetensorsFile(header, "x" + Le(2.5f)));
    ASSERT_TRUE(files.ok()) << files.status().ToString();
    const TensorInfo& tensor = **files->Find("w");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data) % alignof(float), 0u);
    EXPECT_EQ(*reinterpret_cast<const float*>(tensor.data), 2.5f);
    header += ' ';
  }
}

}  // namespace
}  // namespace damask::formats::test
