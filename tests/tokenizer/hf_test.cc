// tokenizer.json as the families of models have it.
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/tokenizer/made_vocab.h"

namespace damask::tokenizer {
namespace {

using testing::ByteLevelJson;
using testing::LoadJson;
using testing::Pieces;
using Texts = std::vector<std::string>;

// A vocabulary in SentencePiece's way, with byte tokens for "é" only.
std::string SpacedJson(const std::string& root_members) {
  return R"({"model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "fuse_unk": true,
      "vocab": {"<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "b": 4, "▁a": 5, "ab": 6, "▁▁": 7, "<0xC3>": 8, "<0xA9>": 9, "▁ab": 10},
      "merges": ["▁ ▁", "a b", "▁ ab", "▁ a"]}, "added_tokens": [{"id": 1, "content": "<s>", "special": true}], )" +
         root_members + "}";
}

constexpr const char* kLlama2 =
    R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "},
       "content": "▁"}]}, "pre_tokenizer": null, "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"},
       "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";

TEST(HuggingFace, Llama2sWayPutsASpaceBeforeEveryStretchOfText) {
  const auto tokenizer = LoadJson(SpacedJson(kLlama2));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "ab a", Special::kParse), Texts({" ab", " a"}));
  EXPECT_EQ(Pieces(**tokenizer, "a<s>a", Special::kParse), Texts({" a", "<s>", " a"}));
  EXPECT_EQ(Pieces(**tokenizer, " a", Special::kParse), Texts({"  ", "a"}));
  EXPECT_EQ((*tokenizer)->Decode(testing::Ids(**tokenizer, "ab  aé"), false), "ab  aé");
}

TEST(HuggingFace, CharactersWithoutTokenBecomeBytesOrOneUnknown) {
  const auto tokenizer = LoadJson(SpacedJson(kLlama2));
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(testing::Ids(**tokenizer, "é"), std::vector<TokenId>({2, 8, 9}));
  EXPECT_EQ(testing::Ids(**tokenizer, "xyz"), std::vector<TokenId>({2, 0}));
}

TEST(HuggingFace, WithoutByteFallbackThereAreNoBytes) {
  std::string json = SpacedJson(kLlama2);
  const std::string_view fallback = R"("byte_fallback": true)";
  json.replace(json.find(fallback), fallback.size(), R"("byte_fallback": false)");
  const auto tokenizer = LoadJson(json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(testing::Ids(**tokenizer, "aé"), std::vector<TokenId>({5, 0}));
}

// Gemma: no prefix, spaces end words, and runs of them are added tokens, which in a text are found by merging.
TEST(HuggingFace, GemmasRunsOfSpacesAreSpaces) {
  std::string json = SpacedJson(
      R"("normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "pre_tokenizer": {"type": "Split",
         "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}, "decoder": {"type": "Sequence",
         "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]})");
  const std::string_view special = R"("special": true})";
  json.insert(json.find(special) + special.size(), R"(, {"id": 7, "content": "▁▁", "special": false, "normalized": false})");
  const auto tokenizer = LoadJson(json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "a  b ab"), Texts({"a", "  ", "b", " ab"}));
  EXPECT_EQ((*tokenizer)->Decode(testing::Ids(**tokenizer, "  ab  a"), false), "  ab  a");
}

TEST(HuggingFace, MetaspacePrependsAsItsSchemeSays) {
  const auto metaspace = [](const std::string& members) {
    return LoadJson(SpacedJson(R"("pre_tokenizer": {"type": "Metaspace", "replacement": "▁", )" + members + "}")).value();
  };
  EXPECT_EQ(Pieces(*metaspace(R"("prepend_scheme": "always", "split": false)"), "a<s>a", Special::kParse),
            Texts({" a", "<s>", " a"}));
  EXPECT_EQ(Pieces(*metaspace(R"("prepend_scheme": "first", "split": false)"), "a<s>a", Special::kParse),
            Texts({" a", "<s>", "a"}));
  EXPECT_EQ(Pieces(*metaspace(R"("prepend_scheme": "never", "split": false)"), "a", Special::kParse), Texts({"a"}));
  EXPECT_EQ(Pieces(*metaspace(R"("add_prefix_space": true)"), " a", Special::kParse), Texts({" a"}))
      << "a space is there already";
  EXPECT_EQ(Pieces(*metaspace(R"("prepend_scheme": "never", "split": true)"), "  a"), Texts({" ", " a"}));
  EXPECT_EQ(Pieces(*metaspace(R"("prepend_scheme": "never", "split": false)"), "  a"), Texts({"  ", "a"}));
}

TEST(HuggingFace, TheTemplateOfThePostProcessorGivesBosAndEos) {
  const std::string processor =
      R"("post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [
         {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>",
         "type_id": 0}}]}]}, "added_tokens": [{"id": 257, "content": "<s>", "special": true}, {"id": 258, "content": "</s>",
         "special": true}])";
  const auto tokenizer = LoadJson(ByteLevelJson("", processor));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(EncodePrompt(**tokenizer, "ab", Special::kParse).value(), std::vector<TokenId>({257, 256, 258}));
  const auto without = LoadJson(ByteLevelJson("", processor), R"({"add_bos_token": false, "add_eos_token": false})");
  ASSERT_TRUE(without.ok());
  EXPECT_EQ(EncodePrompt(**without, "ab", Special::kParse).value(), std::vector<TokenId>({256}));
  EXPECT_EQ((*without)->special().bos, 257);
}

TEST(HuggingFace, ByteLevelMayPutASpaceBeforeTheText) {
  const std::string json = R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}, "model": {"type": "BPE",
      "vocab": {"a": 0, "Ġ": 1, "Ġa": 2, "â": 3, "ĸ": 4, "ģ": 5}, "merges": ["Ġ a"]}})";
  const auto tokenizer = LoadJson(json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "a"), Texts({" a"}));
  EXPECT_EQ(Pieces(**tokenizer, " a"), Texts({" a"}));
  EXPECT_EQ((*tokenizer)->Decode(testing::Ids(**tokenizer, "a a"), false), "a a");
  // SentencePiece's mark is a character like others here.
  EXPECT_EQ(testing::Ids(**tokenizer, "▁"), std::vector<TokenId>({1, 3, 4, 5}));
}

TEST(HuggingFace, PatternsRunOneBehindTheOther) {
  const auto tokenizer = LoadJson(
      R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"String": "."}, "behavior": "MergedWithPrevious"},
          {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
          "model": {"type": "BPE", "vocab": {"1": 0, "2": 1, "12": 2, ".": 3, "a": 4, "a.": 5, ".a": 6},
          "merges": ["1 2", ". a", "a ."]}})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "12a.a"), Texts({"1", "2", "a.", "a"}));
}

TEST(HuggingFace, TheChatTemplateMayBeAStringOrAList) {
  EXPECT_EQ(LoadJson(ByteLevelJson(), R"({"chat_template": "<|im_start|>"})").value()->chat_template(), "<|im_start|>");
  EXPECT_EQ(LoadJson(ByteLevelJson(),
                     R"({"chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "y"}]})")
                .value()
                ->chat_template(),
            "y");
}

TEST(HuggingFace, TheFileOfATemplateAloneCountsBeforeTheConfigsAndTheOldOneAfterIt) {
  const auto read = [](std::vector<std::pair<std::string, std::string>> files) {
    files.emplace_back("tokenizer.json", ByteLevelJson());
    return Tokenizer::FromHuggingFace(testing::MakeFolder(files));
  };
  const std::pair<std::string, std::string> config = {"tokenizer_config.json", R"({"chat_template": "x"})"};
  const std::pair<std::string, std::string> jinja = {"chat_template.jinja", "y"};
  const std::pair<std::string, std::string> old = {"chat_template.json", R"({"chat_template": "z"})"};
  EXPECT_EQ(read({config, jinja, old}).value()->chat_template(), "y");
  EXPECT_EQ(read({config, old}).value()->chat_template(), "x");
  EXPECT_EQ(read({old}).value()->chat_template(), "z");
  const Status wrong = read({{"chat_template.json", R"({"chat_template": 7})"}}).status();
  EXPECT_NE(wrong.ToString().find("chat_template.json'"), std::string::npos) << wrong.ToString();
}

// Gemma 3's text models list a mark of images, finetunes a "[PAD]", for which the embedding has no row.
TEST(HuggingFace, AddedTokensWithoutARowOrATextAreLeftOut) {
  const std::string folder = testing::MakeFolder({{"tokenizer.json", ByteLevelJson("", R"("added_tokens": [
      {"id": 257, "content": "<a>", "special": true}, {"id": 258, "content": "<b>", "special": true},
      {"id": 4000000000, "content": "<c>"}, {"id": 1, "content": ""}, {"id": 2, "content": ""}])")}});
  std::string warnings;
  SetLogSink([&warnings](LogLevel, const std::string& line) { warnings += line + "\n"; });
  const auto tokenizer = Tokenizer::FromHuggingFace(folder, 258);
  SetLogSink({});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->vocab_size(), 258u);
  EXPECT_EQ((*tokenizer)->FindToken("<a>"), 257);
  EXPECT_EQ((*tokenizer)->FindToken("<b>"), std::nullopt);
  EXPECT_EQ(warnings,
            "2 added tokens have no text and are left out\n"
            "2 added tokens have ids beyond the model's 258 tokens and are left out\n");
}

}  // namespace
}  // namespace damask::tokenizer
