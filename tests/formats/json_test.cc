#include "formats/json.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/formats/test_files.h"
#include "tests/temp_dir.h"

namespace damask::formats::test {
namespace {

void ExpectBad(std::string_view text, std::initializer_list<std::string_view> parts) {
  const Result<Json> document = ParseJson(text);
  ASSERT_FALSE(document.ok()) << text;
  ExpectError(document.status(), StatusCode::kBadFormat, parts);
}

std::string Nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonTest, ADocumentOfEveryKindIsRead) {
  const auto document = ParseJson(R"( {"a": [1, -2, 2.5, true, null, "x\u00e9"], "b": {"c": {}}, "": []} )");
  ASSERT_TRUE(document.ok()) << document.status().ToString();
  EXPECT_EQ((*document)["a"].size(), 6u);
  EXPECT_EQ((*document)["a"][1], -2);
  EXPECT_EQ((*document)["a"][2], 2.5);
  EXPECT_EQ((*document)["a"][5], "x\xc3\xa9");
  EXPECT_TRUE((*document)["b"]["c"].is_object());
  EXPECT_TRUE((*document)[""].is_array());
}

TEST(JsonTest, ASingleValueIsADocument) {
  EXPECT_EQ(*ParseJson("7"), 7);
  EXPECT_EQ(*ParseJson("null"), nullptr);
}

TEST(JsonTest, SyntaxErrorsNameTheByte) {
  ExpectBad("", {"byte 1", "not valid JSON"});
  ExpectBad("{\"a\":}", {"byte 6"});
  ExpectBad("[1,]", {"byte 4"});
  ExpectBad("{\"a\":1} x", {"byte 9"});
  ExpectBad("{'a':1}", {"byte 2"});
  ExpectBad("[NaN]", {"byte 2"});
  ExpectBad("[01]", {"byte 3"});
  ExpectBad("\"unfinished", {"missing closing quote"});
}

TEST(JsonTest, CommentsAreNoJson) { ExpectBad("{} // note", {"byte"}); }

TEST(JsonTest, ANulByteDoesNotHideWhatFollows) { ExpectBad(std::string_view("{}\0garbage", 10), {"byte 2", "NUL"}); }

TEST(JsonTest, TextThatIsNotUtf8IsRefused) {
  ExpectBad("\"\xff\"", {"UTF-8"});
  ExpectBad("\"\xc0\x80\"", {"UTF-8"});
  ExpectBad("\"\xed\xa0\x80\"", {"UTF-8"});
}

TEST(JsonTest, ALoneSurrogateIsRefused) { ExpectBad(R"("\ud800")", {"surrogate"}); }

TEST(JsonTest, ANumberOutOfRangeIsRefused) { ExpectBad("[1e999]", {"out of range"}); }

TEST(JsonTest, AKeyTwiceInOneObjectIsRefused) {
  ExpectBad(R"({"a":1,"b":2,"a":1})", {"'a'", "twice", "byte"});
  ExpectBad(R"({"a":1,"\u0061":1})", {"'a'", "twice"});
  EXPECT_TRUE(ParseJson(R"([{"a":1},{"a":{"a":1}}])").ok());
}

TEST(JsonTest, NestingUpToTheLimitIsReadAndOneMoreRefused) {
  EXPECT_TRUE(ParseJson(Nested(128)).ok());
  ExpectBad(Nested(129), {"byte 129", "128 levels"});
}

TEST(JsonTest, DeepNestingIsRefusedWithoutAStackOverflow) {
  ExpectBad(Nested(100000), {"128 levels"});
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  ExpectBad(objects, {"128 levels"});
}

TEST(JsonTest, ErrorsStayOnOneLineAndShort) {
  const auto document = ParseJson("[\n" + std::string(100000, 'x') + "\n]");
  ASSERT_FALSE(document.ok());
  ExpectError(document.status(), StatusCode::kBadFormat);
  EXPECT_LT(document.status().ToString().size(), 300u);
}

TEST(JsonTest, ADocumentCutAtAnyByteIsRefused) {
  const std::string whole = R"({"a": [1, -2, 2.5e1, true, null, "x\u00e9"], "b": {"c": {}}})";
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(ParseJson(whole.substr(0, size)).ok()) << size;
}

TEST(JsonTest, TooManyValuesAreRefusedBeforeTheyFillMemory) {
  std::string text = "[";
  for (int i = 0; i < 1'000'000; ++i) text += "0,";
  text.back() = ']';
  const AllocationWatch watch;
  const auto document = ParseJson(text, 1000);
  EXPECT_LT(watch.bytes(), 1'000'000u);
  ASSERT_FALSE(document.ok());
  ExpectError(document.status(), StatusCode::kTooLarge, {"more than 1000 values"});
  EXPECT_TRUE(ParseJson("[0,0]", 3).ok());
  EXPECT_FALSE(ParseJson("[0,0,0]", 3).ok());
}

TEST(JsonTest, FilesAreReadAndNamedInErrors) {
  const damask::test::TempDir folder;
  EXPECT_EQ((*ReadJsonFile(folder.Write("good.json", "{\"a\":1}")))["a"], 1);
  ExpectError(ReadJsonFile(folder.Write("bad.json", "{")).status(), StatusCode::kBadFormat, {"bad.json", "byte"});
  ExpectError(ReadJsonFile(folder.File("none.json")).status(), StatusCode::kIo, {"none.json"});
  ExpectError(ReadJsonFile(folder.path()).status(), StatusCode::kIo, {"directory"});
}

TEST(JsonTest, MembersAreGivenByType) {
  const Json object = *ParseJson(R"({"u":7,"f":1.5,"b":true,"s":"text","n":null,"minus":-1,"big":18446744073709551615})");
  EXPECT_EQ(**JsonUint(object, "u"), 7u);
  EXPECT_EQ(**JsonUint(object, "big"), ~uint64_t{0});
  EXPECT_EQ(**JsonNumber(object, "f"), 1.5);
  EXPECT_EQ(**JsonNumber(object, "minus"), -1);
  EXPECT_EQ(**JsonBool(object, "b"), true);
  EXPECT_EQ(**JsonString(object, "s"), "text");
}

TEST(JsonTest, AbsentAndNullMembersAreNothing) {
  const Json object = *ParseJson(R"({"n":null})");
  for (const char* key : {"n", "absent"}) {
    EXPECT_FALSE(JsonUint(object, key)->has_value());
    EXPECT_FALSE(JsonNumber(object, key)->has_value());
    EXPECT_FALSE(JsonBool(object, key)->has_value());
    EXPECT_FALSE(JsonString(object, key)->has_value());
  }
}

TEST(JsonTest, MembersOfAnotherTypeAreNamedWithFoundAndExpected) {
  const Json object = *ParseJson(R"({"f":1.5,"minus":-1,"s":"text","a":[],"o":{}})");
  ExpectError(JsonUint(object, "minus").status(), StatusCode::kBadFormat, {"'minus'", "found -1", "not negative"});
  ExpectError(JsonUint(object, "f").status(), StatusCode::kBadFormat, {"'f'", "found 1.5", "an integer"});
  ExpectError(JsonNumber(object, "s").status(), StatusCode::kBadFormat, {"'s'", "found text", "a number"});
  ExpectError(JsonBool(object, "a").status(), StatusCode::kBadFormat, {"'a'", "an array", "true or false"});
  ExpectError(JsonString(object, "o").status(), StatusCode::kBadFormat, {"'o'", "an object", "expected text"});
  ExpectError(JsonUint(Json::array(), "k").status(), StatusCode::kBadFormat, {"'k'", "an array", "an object"});
}

}  // namespace
}  // namespace damask::formats::test
