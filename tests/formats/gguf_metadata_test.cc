// BAD_INPUT section 2, keys and values: G06 to G11.
#include <string>

#include <gtest/gtest.h>

#include "tests/formats/gguf_builder.h"
#include "tests/formats/test_files.h"

namespace damask::formats::test {
namespace {

using std::string_view_literals::operator""sv;

TEST(GgufMetadataTest, ValuesOfEveryTypeAreKept) {
  const auto file = ParseGguf(SmallGguf());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const auto value = [&](std::string_view key) { return *file->FindKey(key); };
  EXPECT_EQ(std::get<uint8_t>(value("a.u8")), 255);
  EXPECT_EQ(std::get<int8_t>(value("a.i8")), -1);
  EXPECT_EQ(std::get<uint16_t>(value("a.u16")), 65535);
  EXPECT_EQ(std::get<int16_t>(value("a.i16")), -2);
  EXPECT_EQ(std::get<uint32_t>(value("a.u32")), 7u);
  EXPECT_EQ(std::get<int32_t>(value("a.i32")), -3);
  EXPECT_EQ(std::get<float>(value("a.f32")), 0.5f);
  EXPECT_EQ(std::get<bool>(value("a.bool")), true);
  EXPECT_EQ(std::get<uint64_t>(value("a.u64")), 1ull << 40);
  EXPECT_EQ(std::get<int64_t>(value("a.i64")), -4);
  EXPECT_EQ(std::get<double>(value("a.f64")), 0.25);
  EXPECT_EQ(std::get<std::string_view>(value("general.architecture")), "llama");
  EXPECT_EQ(std::get<std::vector<bool>>(std::get<GgufArray>(value("a.bools"))), (std::vector<bool>{false, true, true}));
}

TEST(GgufMetadataTest, ArraysAreGivenByType) {
  const auto file = ParseGguf(SmallGguf());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(**file->GetStringArray("tokenizer.ggml.tokens"), (std::vector<std::string_view>{"<s>", "", "a\xff"}));
  EXPECT_EQ(**file->GetFloatArray("tokenizer.ggml.scores"), (std::vector<float>{0.f, -1.f, -2.f}));
  EXPECT_EQ(**file->GetInt32Array("tokenizer.ggml.token_type"), (std::vector<int32_t>{3, 1, 1}));
  EXPECT_TRUE((*file->GetStringArray("a.none"))->empty());
}

TEST(GgufMetadataTest, AbsentKeysAreNotErrors) {
  const auto file = ParseGguf(GgufBuilder().Build());
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(file->GetUint("x")->has_value());
  EXPECT_FALSE(file->GetFloat("x")->has_value());
  EXPECT_FALSE(file->GetBool("x")->has_value());
  EXPECT_FALSE(file->GetString("x")->has_value());
  EXPECT_EQ(*file->GetStringArray("x"), nullptr);
  EXPECT_EQ(*file->GetFloatArray("x"), nullptr);
  EXPECT_EQ(*file->GetInt32Array("x"), nullptr);
  EXPECT_TRUE(file->GetUintOrArray("x")->empty());
}

TEST(GgufMetadataTest, IntegersOfAnyWidthAreUints) {
  const auto file = ParseGguf(GgufBuilder().U8("a", 1).U16("b", 2).I32("c", 3).U64("d", 1ull << 63).Build());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(**file->GetUint("a"), 1u);
  EXPECT_EQ(**file->GetUint("b"), 2u);
  EXPECT_EQ(**file->GetUint("c"), 3u);
  EXPECT_EQ(**file->GetUint("d"), 1ull << 63);
}

TEST(GgufMetadataTest, G06AnEmptyKeyIsRefused) {
  ExpectBadGguf(GgufBuilder().U8("", 1).Build(), StatusCode::kBadFormat, {"byte 24", "length 0"});
}

TEST(GgufMetadataTest, G06AKeyLengthBeyondAllBytesIsRefused) {
  const AllocationWatch watch;
  ExpectBadGguf(GgufBuilder().RawPair(Le(~uint64_t{0}) + "key" + Le(kU8) + "xx").Build(), StatusCode::kBadFormat,
                {"18446744073709551615"});
  EXPECT_LT(watch.bytes(), 65536u);
}

TEST(GgufMetadataTest, G06AKeyLongerThanTheFileIsTruncated) {
  ExpectBadGguf(GgufBuilder().RawPair(Le(uint64_t{500}) + "key" + Le(kU8) + "xx").Build(), StatusCode::kTruncated,
                {"a key", "500 bytes expected"});
}

TEST(GgufMetadataTest, G06AKeyThatIsNotUtf8IsRefused) {
  ExpectBadGguf(GgufBuilder().U8("a\xff", 1).Build(), StatusCode::kBadFormat, {"\\xff", "UTF-8"});
}

TEST(GgufMetadataTest, G06AKeyWithANulByteIsRefused) {
  ExpectBadGguf(GgufBuilder().U8("a\0b"sv, 1).Build(), StatusCode::kBadFormat, {"\\x00", "NUL"});
}

TEST(GgufMetadataTest, G06TheLongestKeyIsReadAndOneByteMoreRefused) {
  const std::string longest(65535, 'k');
  EXPECT_TRUE(ParseGguf(GgufBuilder().U8(longest, 1).Build()).ok());
  ExpectBadGguf(GgufBuilder().U8(longest + "k", 1).Build(), StatusCode::kBadFormat, {"65536", "at most 65535"});
}

TEST(GgufMetadataTest, G07AKeyTwiceIsRefusedByName) {
  ExpectBadGguf(GgufBuilder().U8("twin", 1).U8("twin", 1).Build(), StatusCode::kBadFormat, {"twin", "twice"});
  ExpectBadGguf(GgufBuilder().U8("twin", 1).Text("twin", "1").Build(), StatusCode::kBadFormat, {"twin", "twice"});
}

TEST(GgufMetadataTest, G08UnknownValueTypesAreRefused) {
  ExpectBadGguf(GgufBuilder().Pair("k", 13, "xxxxxxxx").Build(), StatusCode::kBadFormat, {"'k'", "13"});
  ExpectBadGguf(GgufBuilder().Pair("k", 255, "xxxxxxxx").Build(), StatusCode::kBadFormat, {"'k'", "255"});
  ExpectBadGguf(GgufBuilder().Pair("k", 0xffffffff, "xxxxxxxx").Build(), StatusCode::kBadFormat, {"'k'", "4294967295"});
  ExpectBadGguf(GgufBuilder().Array("k", 13, 1, "xxxxxxxx").Build(), StatusCode::kBadFormat, {"'k'", "13"});
}

TEST(GgufMetadataTest, G08AnArrayOfArraysIsUnsupported) {
  ExpectBadGguf(GgufBuilder().Array("k", kArray, 1, Le(kU8) + Le(uint64_t{1}) + "x").Build(), StatusCode::kUnsupported,
                {"'k'", "array of arrays"});
}

TEST(GgufMetadataTest, G08ArrayLengthsBeyondAllBytesAreRefusedBeforeAnyAllocation) {
  const AllocationWatch watch;
  ExpectBadGguf(GgufBuilder().Array("k", kU8, uint64_t{1} << 63, "x").Build(), StatusCode::kBadFormat, {"'k'", "elements"});
  ExpectBadGguf(GgufBuilder().Array("k", kU64, (uint64_t{1} << 61) + 1, "x").Build(), StatusCode::kBadFormat, {"'k'"});
  ExpectBadGguf(GgufBuilder().Array("k", kString, uint64_t{1} << 60, "x").Build(), StatusCode::kBadFormat, {"'k'"});
  ExpectBadGguf(GgufBuilder().Array("k", kF64, 1 << 29, "x").Build(), StatusCode::kTruncated, {"'k'"});
  ExpectBadGguf(GgufBuilder().Array("k", kString, 1 << 29, "x").Build(), StatusCode::kTruncated, {"'k'", "strings"});
  ExpectBadGguf(GgufBuilder().Array("k", kBool, 1 << 29, "x").Build(), StatusCode::kTruncated, {"'k'"});
  EXPECT_LT(watch.bytes(), 65536u);
}

TEST(GgufMetadataTest, G08AStringBeyondAllBytesIsRefusedBeforeAnyAllocation) {
  const AllocationWatch watch;
  ExpectBadGguf(GgufBuilder().Pair("k", kString, Le(~uint64_t{0}) + "x").Build(), StatusCode::kBadFormat, {"'k'"});
  ExpectBadGguf(GgufBuilder().Pair("k", kString, Le(uint64_t{1} << 30) + "x").Build(), StatusCode::kTruncated, {"'k'"});
  ExpectBadGguf(GgufBuilder().Array("k", kString, 1, Le(uint64_t{2}) + "x").Build(), StatusCode::kTruncated, {"'k'"});
  EXPECT_LT(watch.bytes(), 65536u);
}

TEST(GgufMetadataTest, G09ABoolIsZeroOrOne) {
  EXPECT_EQ(**ParseGguf(GgufBuilder().Bool("k", 0).Build())->GetBool("k"), false);
  ExpectBadGguf(GgufBuilder().Bool("k", 2).Build(), StatusCode::kBadFormat, {"'k'", "value 2"});
  ExpectBadGguf(GgufBuilder().Bool("k", 255).Build(), StatusCode::kBadFormat, {"'k'", "value 255"});
  ExpectBadGguf(GgufBuilder().Numbers<uint8_t>("k", kBool, {0, 1, 2}).Build(), StatusCode::kBadFormat, {"'k'", "value 2"});
}

TEST(GgufMetadataTest, G10AlignmentMustBeAPowerOfTwoWithinBounds) {
  for (const uint32_t alignment : {0u, 1u, 4u, 13u, 1u << 21, 1u << 31}) {
    ExpectBadGguf(GgufBuilder().U32("general.alignment", alignment).Build(), StatusCode::kBadFormat,
                  {"general.alignment", std::to_string(alignment), "power of two"});
  }
}

TEST(GgufMetadataTest, G10AlignmentMustBeU32) {
  ExpectBadGguf(GgufBuilder().I32("general.alignment", 32).Build(), StatusCode::kBadFormat, {"found i32, expected u32"});
  ExpectBadGguf(GgufBuilder().Text("general.alignment", "32").Build(), StatusCode::kBadFormat, {"found string, expected u32"});
}

TEST(GgufMetadataTest, G10TheAlignmentPlacesTheTensors) {
  for (const uint32_t alignment : {8u, 64u, 1u << 20}) {
    GgufBuilder builder;
    builder.Alignment(alignment).U32("general.alignment", alignment);
    builder.Tensor("a", 0, {1}, Le(1.f)).Tensor("b", 0, {1}, Le(2.f));
    const auto file = ParseGguf(builder.Build());
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    float value = 0;
    std::memcpy(&value, file->FindTensor("b")->data, sizeof(value));
    EXPECT_EQ(value, 2.f);
  }
}

TEST(GgufMetadataTest, G11AWrongTypeIsNamedWithKeyFoundAndExpected) {
  const auto file = ParseGguf(GgufBuilder()
                                  .F32("block_count", 2)
                                  .Text("head_count", "32")
                                  .Numbers<int32_t>("tokens", kI32, {1})
                                  .Numbers<uint8_t>("scores", kU8, {1})
                                  .I32("negative", -1)
                                  .Bool("flag", 1)
                                  .U32("number", 1)
                                  .Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  ExpectError(file->GetUint("block_count").status(), StatusCode::kBadFormat,
              {"'block_count'", "found f32", "expected an integer"});
  ExpectError(file->GetUint("head_count").status(), StatusCode::kBadFormat,
              {"'head_count'", "found string", "expected an integer"});
  ExpectError(file->GetUint("negative").status(), StatusCode::kBadFormat, {"'negative'", "i32 -1", "not negative"});
  ExpectError(file->GetUint("flag").status(), StatusCode::kBadFormat, {"'flag'", "found bool", "expected an integer"});
  ExpectError(file->GetStringArray("tokens").status(), StatusCode::kBadFormat,
              {"'tokens'", "found array of i32", "expected array of string"});
  ExpectError(file->GetFloatArray("scores").status(), StatusCode::kBadFormat,
              {"'scores'", "found array of u8", "expected array of f32"});
  ExpectError(file->GetInt32Array("scores").status(), StatusCode::kBadFormat, {"found array of u8", "expected array of i32"});
  ExpectError(file->GetFloatArray("number").status(), StatusCode::kBadFormat, {"found u32", "expected array of f32"});
  ExpectError(file->GetFloat("number").status(), StatusCode::kBadFormat, {"'number'", "found u32", "expected f32 or f64"});
  ExpectError(file->GetBool("number").status(), StatusCode::kBadFormat, {"'number'", "found u32", "expected bool"});
  ExpectError(file->GetString("number").status(), StatusCode::kBadFormat, {"'number'", "found u32", "expected string"});
}

TEST(GgufMetadataTest, G11ArraysOfBoolsAreReadAsSuch) {
  const auto file = ParseGguf(GgufBuilder().U32("one", 8).Numbers<uint8_t>("flags", kBool, {1, 0, 1}).Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_TRUE(file->IsArray("flags"));
  EXPECT_FALSE(file->IsArray("one"));
  EXPECT_FALSE(file->IsArray("absent"));
  EXPECT_EQ(**file->GetBoolArray("flags"), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(*file->GetBoolArray("absent"), nullptr);
  ExpectError(file->GetBoolArray("one").status(), StatusCode::kBadFormat, {"'one'", "expected array of bool"});
}

TEST(GgufMetadataTest, G11AHeadCountMayBeANumberOrOneForEachLayer) {
  const auto file = ParseGguf(GgufBuilder()
                                  .U32("one", 8)
                                  .Numbers<int32_t>("each", kI32, {8, 4})
                                  .Numbers<int32_t>("negative", kI32, {8, -4})
                                  .Numbers<float>("floats", kF32, {8})
                                  .Build());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(*file->GetUintOrArray("one"), (std::vector<uint64_t>{8}));
  EXPECT_EQ(*file->GetUintOrArray("each"), (std::vector<uint64_t>{8, 4}));
  ExpectError(file->GetUintOrArray("negative").status(), StatusCode::kBadFormat, {"'negative'", "element 1 is -4"});
  ExpectError(file->GetUintOrArray("floats").status(), StatusCode::kBadFormat, {"'floats'", "found array of f32"});
}

}  // namespace
}  // namespace damask::formats::test
