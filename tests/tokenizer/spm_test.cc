// SentencePiece-type vocabularies: our merging against the library's, and what llama.cpp does around both.
#include "tokenizer/spm_encoder.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/tokenizer/made_vocab.h"
#include "tests/tokenizer/vocab_cases.h"

namespace damask::tokenizer {
namespace {

using testing::Ids;
using testing::MadeVocab;
using testing::Pieces;
using testing::SpmVocab;

using Texts = std::vector<std::string>;

// A vocabulary of random words over few letters, scores with many ties, some words twice and some empty.
Vocabulary RandomVocabulary(std::mt19937* random) {
  std::vector<Token> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    tokens.push_back({text, 0.0f, TokenKind::kByte});
  }
  static const char* const kLetters[] = {"a", "b", "c", "é", "\xe2\x96\x81"};
  for (int i = 0; i < 120; ++i) {
    std::string word;
    for (uint32_t length = (*random)() % 6; length > 0; --length) word += kLetters[(*random)() % 5];
    tokens.push_back({word, -static_cast<float>((*random)() % 12), TokenKind::kNormal});
  }
  return Vocabulary(std::move(tokens));
}

TEST(Spm, OurMergingGivesWhatTheLibraryGives) {
  static const char* const kLetters[] = {"a", "b", "c", "é", "\xe2\x96\x81", "z", "中"};
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    const Vocabulary vocabulary = RandomVocabulary(&random);
    const auto encoder = SpmEncoder::Create(&vocabulary, {});
    ASSERT_TRUE(encoder.ok()) << encoder.status().ToString();
    for (int i = 0; i < 40; ++i) {
      std::string text;
      for (uint32_t length = 1 + random() % 80; length > 0; --length) text += kLetters[random() % 7];
      std::vector<TokenId> by_library;
      std::vector<TokenId> by_merging;
      ASSERT_TRUE((*encoder)->EncodeByLibrary(text, &by_library).ok());
      ASSERT_TRUE((*encoder)->EncodeByMerging(text, &by_merging).ok());
      ASSERT_EQ(by_library, by_merging) << "seed " << seed << ": " << text;
    }
  }
}

TEST(Spm, LongWordsAndShortOnesAreCutAlike) {
  const auto tokenizer = testing::LoadVocab("llama-spm");
  ASSERT_NE(tokenizer, nullptr);
  std::string letters;
  for (int i = 0; i < 400; ++i) letters += "antidisestablish";
  // One word of 6400 letters, merged by us: its tokens must be those of the library for the same text (checked at 1024 bytes).
  const std::vector<std::string> pieces = Pieces(*tokenizer, letters);
  const std::vector<std::string> start = Pieces(*tokenizer, letters.substr(0, 960));
  ASSERT_GT(start.size(), 20u);
  EXPECT_TRUE(std::equal(start.begin(), start.end() - 5, pieces.begin()));
}

TEST(Spm, TheHighestScoreMergesFirstAndTheLeftmostOfEquals) {
  // "abc": both pairs are tokens of one score.
  MadeVocab vocab = SpmVocab({"a", "b", "c", "ab", "bc"});
  vocab.tokens.back().score = vocab.tokens[vocab.tokens.size() - 2].score;
  vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.ggml.add_space_prefix", false); };
  EXPECT_EQ(Pieces(*vocab.Load().value(), "abc"), Texts({"ab", "c"}));
  vocab.tokens.back().score += 1.0f;
  EXPECT_EQ(Pieces(*vocab.Load().value(), "abc"), Texts({"a", "bc"}));
}

TEST(Spm, ASpaceGoesBeforeTheTextAndBehindEveryTokenFoundInIt) {
  MadeVocab vocab = SpmVocab({"\xe2\x96\x81", "x", "\xe2\x96\x81x"});
  vocab.tokens.push_back({"<user>", 4});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "x<user>x</s>x", Special::kParse), Texts({" x", "<user>", " x", "</s>", " x"}));
  EXPECT_EQ(Pieces(**tokenizer, "<s>", Special::kParse), Texts({"<s>"}));
  EXPECT_EQ(Pieces(**tokenizer, ""), Texts());
}

TEST(Spm, WithoutSpacePrefixTextStaysAsItIs) {
  MadeVocab vocab = SpmVocab({"\xe2\x96\x81", "x"});
  vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.ggml.add_space_prefix", false); };
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(Pieces(**tokenizer, "x x"), Texts({"x", " ", "x"}));
  EXPECT_EQ((*tokenizer)->Decode(Ids(**tokenizer, " x"), false), " x");
}

TEST(Spm, UserDefinedTokensAreFoundBeforeMergingEvenInPlainText) {
  MadeVocab vocab = SpmVocab({"a", "b", "ab", "abb"});
  vocab.tokens.push_back({"bb", 4});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(Pieces(**tokenizer, "abb").back(), "bb");
}

TEST(Spm, ControlTokensAreTextUnlessParsed) {
  const auto tokenizer = SpmVocab({"<", "s", ">", "<s", "/"}).Load();
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(Ids(**tokenizer, "<s>", Special::kParse), std::vector<TokenId>({1}));
  // "<s" + ">" spells the control token, and still does not become it.
  EXPECT_EQ(Pieces(**tokenizer, "<s>", Special::kPlain), Texts({"\xe2", "\x96", "\x81", "<s", ">"}));
}

TEST(Spm, PromptsGetBosAndEosAsTheFileSays) {
  MadeVocab vocab = SpmVocab({"x"});
  EXPECT_EQ(EncodePrompt(*vocab.Load().value(), "", Special::kParse).value(), std::vector<TokenId>({1}));
  vocab.more = [](formats::GgufWriter* writer) {
    writer->Add("tokenizer.ggml.add_bos_token", false);
    writer->Add("tokenizer.ggml.add_eos_token", true);
  };
  EXPECT_EQ(EncodePrompt(*vocab.Load().value(), "", Special::kParse).value(), std::vector<TokenId>({2}));
}

TEST(Spm, EndsOfGenerationAreFoundByTheirText) {
  MadeVocab vocab = SpmVocab({"x", "<|im_end|>"});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(2));
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(260));
  EXPECT_TRUE((*tokenizer)->IsControl(260)) << "whatever the file calls it";
  EXPECT_EQ((*tokenizer)->special().eot, 260);
  EXPECT_FALSE((*tokenizer)->IsEndOfGeneration(259));
  EXPECT_EQ((*tokenizer)->Piece(260, false), "");
  EXPECT_EQ((*tokenizer)->Piece(260, true), "<|im_end|>");
}

}  // namespace
}  // namespace damask::tokenizer
