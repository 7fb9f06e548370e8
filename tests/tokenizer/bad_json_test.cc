// tokenizer.json files as hostile, broken or merely unusual ones have them: BAD_INPUT section 3, rows T02 to T07.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/tokenizer/made_vocab.h"

namespace damask::tokenizer {
namespace {

using testing::ByteLevelJson;
using testing::LoadJson;
using testing::Pieces;

void ExpectError(const std::string& json, StatusCode code, std::string_view part) {
  const auto tokenizer = LoadJson(json);
  ASSERT_FALSE(tokenizer.ok()) << json.substr(0, 200);
  EXPECT_EQ(tokenizer.status().code(), code) << tokenizer.status().ToString();
  EXPECT_NE(tokenizer.status().ToString().find(part), std::string::npos) << tokenizer.status().ToString();
}

void ExpectPieces(const std::string& json, std::string_view text, const std::vector<std::string>& pieces,
                  Special special = Special::kParse) {
  const auto tokenizer = LoadJson(json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, text, special), pieces) << text;
}

std::string AddedToken(const std::string& content, int id, const std::string& flags) {
  return R"("added_tokens": [{"id": )" + std::to_string(id) + R"(, "content": ")" + content + "\"" + flags + "}]";
}

TEST(BadJson, T02ATokenOfTheConfigThatIsNotInTheVocabularyIsNoToken) {
  const auto tokenizer =
      LoadJson(ByteLevelJson(), R"({"bos_token": "<s>", "eos_token": {"content": "ab"}, "pad_token": null})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_FALSE((*tokenizer)->special().bos.has_value());
  EXPECT_EQ((*tokenizer)->special().eos, 256);
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(256));
}

TEST(BadJson, AWrongTokenOfTheConfigIsNamed) {
  const auto tokenizer = LoadJson(ByteLevelJson(), R"({"unk_token": {"content": 3}})");
  EXPECT_EQ(tokenizer.status().code(), StatusCode::kBadFormat);
  EXPECT_NE(tokenizer.status().ToString().find("'unk_token'"), std::string::npos) << tokenizer.status().ToString();
}

TEST(BadJson, T02AddingATokenThatIsNotThereIsAnError) {
  const auto tokenizer = LoadJson(ByteLevelJson(), R"({"add_bos_token": true, "bos_token": "<s>"})");
  EXPECT_EQ(tokenizer.status().code(), StatusCode::kBadFormat) << tokenizer.status().ToString();
}

TEST(BadJson, T02IdsOfTheGenerationConfigThatAreOutOfRangeDoNotCount) {
  const std::string folder =
      testing::MakeFolder({{"tokenizer.json", ByteLevelJson()},
                           {"generation_config.json", R"({"eos_token_id": [256, 1000, 18446744073709551615]})"}});
  const auto tokenizer = Tokenizer::FromHuggingFace(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(256));
  EXPECT_FALSE((*tokenizer)->IsEndOfGeneration(1000));
  const std::string bad =
      testing::MakeFolder({{"tokenizer.json", ByteLevelJson()}, {"generation_config.json", R"({"eos_token_id": -1})"}});
  EXPECT_EQ(Tokenizer::FromHuggingFace(bad).status().code(), StatusCode::kBadFormat);
}

TEST(BadJson, T04BothFormsOfMergesAreRead) {
  ExpectPieces(ByteLevelJson(R"("merges": ["a b"])"), "ab", {"ab"});
  ExpectPieces(ByteLevelJson(R"("merges": [["a", "b"], ["a", "b"]])"), "ab", {"ab"});
  ExpectPieces(ByteLevelJson(R"("merges": [])"), "ab", {"a", "b"});
}

TEST(BadJson, T04BrokenMergesAreErrors) {
  ExpectError(ByteLevelJson(R"("merges": ["a zz"])"), StatusCode::kBadFormat, "'a zz'");
  ExpectError(ByteLevelJson(R"("merges": [["zz", "b"]])"), StatusCode::kBadFormat, "'zz', which is no token");
  ExpectError(ByteLevelJson(R"("merges": [["b", "a"]])"), StatusCode::kBadFormat, "'ba', which is no token");
  ExpectError(ByteLevelJson(R"("merges": [["", "a"]])"), StatusCode::kBadFormat, "''");
  ExpectError(ByteLevelJson(R"("merges": ["ab"])"), StatusCode::kBadFormat, "'ab'");
  ExpectError(ByteLevelJson(R"("merges": [["a", "b", "c"]])"), StatusCode::kBadFormat, "model.merges");
  ExpectError(ByteLevelJson(R"("merges": [7])"), StatusCode::kBadFormat, "model.merges");
  ExpectError(ByteLevelJson(R"("merges": {})"), StatusCode::kBadFormat, "model.merges");
}

TEST(BadJson, T04AMergeThatCanBeReadInTwoWaysIsAnError) {
  // "a b c" is "a" + "b c" or "a b" + "c".
  ExpectError(
      R"({"pre_tokenizer": {"type": "Metaspace"}, "model": {"type": "BPE", "vocab": {"a": 0, "b c": 1, "a b": 2, "c": 3},
                  "merges": ["a b c"]}})",
      StatusCode::kBadFormat, "two ways");
}

TEST(BadJson, T05AddedTokensMayComeInAnyOrderAndWithGaps) {
  const std::string json =
      ByteLevelJson("", R"("added_tokens": [{"id": 300, "content": "<b>", "special": true}, {"id": 258, "content": "<a>"}])");
  const auto tokenizer = LoadJson(json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->vocab_size(), 301u);
  EXPECT_EQ(testing::Ids(**tokenizer, "x<b>y<a>z", Special::kParse), std::vector<TokenId>({'x' - 0, 300, 'y', 258, 'z'}))
      << "printable ASCII bytes have their own value as id";
  EXPECT_EQ((*tokenizer)->Piece(257, true), "");
  EXPECT_TRUE((*tokenizer)->IsControl(300));
  EXPECT_FALSE((*tokenizer)->IsControl(258));
}

TEST(BadJson, T05AnIdFarBeyondTheVocabularyIsAnError) {
  ExpectError(ByteLevelJson("", AddedToken("<x>", 4'000'000, "")), StatusCode::kBadFormat, "'<x>'");
  ExpectError(ByteLevelJson("", R"("added_tokens": [{"id": 18446744073709551615, "content": "<x>"}])"), StatusCode::kBadFormat,
              "'<x>'");
  ExpectError(ByteLevelJson("", R"("added_tokens": [{"id": -1, "content": "<x>"}])"), StatusCode::kBadFormat, "id");
}

TEST(BadJson, T05ContentMayRepeatAVocabularyEntryOrBeEmpty) {
  ExpectPieces(ByteLevelJson("", AddedToken("ab", 256, R"(, "special": true)")), "xaby", {"x", "ab", "y"});
  ExpectPieces(ByteLevelJson("", AddedToken("ab", 256, R"(, "special": true)")), "xaby", {"x", "a", "b", "y"}, Special::kPlain);
  ExpectPieces(ByteLevelJson("", AddedToken("", 257, "")), "ab", {"ab"});
}

TEST(BadJson, T05FlagsSayHowAnAddedTokenIsFound) {
  ExpectPieces(ByteLevelJson("", AddedToken("<x>", 257, R"(, "lstrip": true)")), "a  <x> b", {"a", "<x>", " ", "b"});
  ExpectPieces(ByteLevelJson("", AddedToken("<x>", 257, R"(, "rstrip": true)")), "a <x>  b", {"a", " ", "<x>", "b"});
  ExpectPieces(ByteLevelJson("", AddedToken("xx", 257, R"(, "single_word": true)")), "xx xxé éxx xx",
               {"xx", " ", "x", "x", "\xc3", "\xa9", " ", "\xc3", "\xa9", "x", "x", " ", "xx"});
  ExpectPieces(ByteLevelJson("", AddedToken("xx", 257, R"(, "normalized": true)")), "axx", {"a", "xx"});
}

TEST(BadJson, T05BrokenAddedTokensAreErrors) {
  for (const char* list : {"7", "[7]", "[{}]", R"([{"id": "a", "content": "x"}])", R"([{"id": 257, "content": 1}])",
                           R"([{"id": 257, "content": "x", "special": "yes"}])"}) {
    ExpectError(ByteLevelJson("", std::string("\"added_tokens\": ") + list), StatusCode::kBadFormat, "");
  }
}

TEST(BadJson, T06RegularExpressionsThatPcreCannotExpressAreNamed) {
  const auto split = [](const std::string& regex) {
    return R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": ")" + regex +
           R"("}, "behavior": "Isolated"}, {"type": "ByteLevel", "use_regex": false, "add_prefix_space": false}]}, "model": {"type": "BPE",
           "vocab": {"a": 0}, "merges": []}})";
  };
  ExpectError(split("(a"), StatusCode::kUnsupported, "'(a'");
  ExpectError(split("[a&&[b]]"), StatusCode::kUnsupported, "&&");
  ExpectError(split("\\\\p{NoSuchScript}"), StatusCode::kUnsupported, "NoSuchScript");
  EXPECT_TRUE(LoadJson(split("\\\\s+|a")).ok());
}

TEST(BadJson, T07UnknownPartsAreNamed) {
  const auto with = [](const std::string& part) {
    return "{" + part + R"(, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})";
  };
  ExpectError(R"({"model": {"type": "Unigram", "vocab": []}})", StatusCode::kUnsupported, "'Unigram'");
  ExpectError(R"({"model": {"type": "WordPiece", "vocab": {}}})", StatusCode::kUnsupported, "'WordPiece'");
  ExpectError(with(R"("normalizer": {"type": "Lowercase"})"), StatusCode::kUnsupported, "'Lowercase'");
  ExpectError(with(R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]})"), StatusCode::kUnsupported,
              "'NFKC'");
  ExpectError(with(R"("pre_tokenizer": {"type": "BertPreTokenizer"})"), StatusCode::kUnsupported, "'BertPreTokenizer'");
  ExpectError(ByteLevelJson("", R"("decoder": {"type": "CTC"})"), StatusCode::kUnsupported, "'CTC'");
  ExpectError(ByteLevelJson("", R"("post_processor": {"type": "BertProcessing"})"), StatusCode::kUnsupported,
              "'BertProcessing'");
  ExpectError(ByteLevelJson(R"("end_of_word_suffix": "</w>")"), StatusCode::kUnsupported, "'</w>'");
  ExpectError(ByteLevelJson(R"("dropout": 0.1)"), StatusCode::kUnsupported, "dropout");
}

TEST(BadJson, T07NullMayStandWhereAnObjectMay) {
  ExpectPieces(
      ByteLevelJson(R"("dropout": null, "unk_token": null, "continuing_subword_prefix": null, "ignore_merges": null)",
                    R"("normalizer": null, "post_processor": null, "decoder": null, "added_tokens": null, "padding": null)"),
      "ab", {"ab"});
}

TEST(BadJson, T07WrongTypesAreErrorsNotCrashes) {
  for (
      const char* json :
      {"", "7", "[]", "null", "{", R"({"model": 7})", R"({"model": {"type": 7}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE"}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": [], "merges": []}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 1.5}, "merges": []}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})",
       R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 99999999999}, "merges": []}})",
       R"({"pre_tokenizer": 7, "model": {"type": "BPE", "vocab": {}, "merges": []}})",
       R"({"pre_tokenizer": {"type": "Sequence"}, "model": {"type": "BPE", "vocab": {}, "merges": []}})",
       R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [7]}, "model": {"type": "BPE", "vocab": {}, "merges": []}})"}) {
    ExpectError(json, StatusCode::kBadFormat, "");
  }
}

TEST(BadJson, T07IgnoreMergesTakesAWholeWordAtOnce) {
  const std::string json = R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"type": "BPE",
      "vocab": {"a": 0, "b": 1, "c": 2, "abc": 3, "ab": 4}, "merges": ["a b"], "ignore_merges": %}})";
  const auto with = [&](const char* flag) { return std::string(json).replace(json.find('%'), 1, flag); };
  ExpectPieces(with("true"), "abc", {"abc"});
  ExpectPieces(with("false"), "abc", {"ab", "c"});
}

// The name of a folder may steer a terminal: errors quote it.
TEST(BadJson, ErrorsQuoteThePath) {
  for (const auto& [name, content] :
       std::vector<std::pair<std::string, std::string>>{{"tokenizer.json", "[]"},
                                                        {"tokenizer_config.json", "[]"},
                                                        {"tokenizer_config.json", R"({"add_bos_token": 7})"},
                                                        {"generation_config.json", R"({"eos_token_id": "x"})"},
                                                        {"config.json", R"({"eos_token_id": "x"})"}}) {
    const std::string plain = testing::MakeFolder({{"tokenizer.json", ByteLevelJson()}, {name, content}});
    const std::string folder = plain + "\x1b[2J";
    std::filesystem::rename(plain, folder);
    const auto tokenizer = Tokenizer::FromHuggingFace(folder);
    std::filesystem::remove_all(folder);
    ASSERT_FALSE(tokenizer.ok()) << name;
    const std::string error = tokenizer.status().ToString();
    EXPECT_NE(error.find("\\x1b[2J/" + name + "'"), std::string::npos) << error;
    EXPECT_EQ(error.find('\x1b'), std::string::npos) << error;
  }
}

TEST(BadJson, AMissingFolderOrFileIsAnErrorWithItsPath) {
  const auto tokenizer = Tokenizer::FromHuggingFace("/no/such/folder");
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_NE(tokenizer.status().ToString().find("/no/such/folder/tokenizer.json"), std::string::npos)
      << tokenizer.status().ToString();
}

}  // namespace
}  // namespace damask::tokenizer
