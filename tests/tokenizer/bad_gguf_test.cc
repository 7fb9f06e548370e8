// Vocabularies of GGUF files as hostile or broken files have them: BAD_INPUT section 3, rows T01 to T06 and T08.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/limits.h"
#include "formats/gguf.h"
#include "tests/tokenizer/made_vocab.h"

namespace damask::tokenizer {
namespace {

using testing::BpeVocab;
using testing::Ids;
using testing::MadeVocab;
using testing::Pieces;
using testing::SpmVocab;

void ExpectError(const MadeVocab& vocab, StatusCode code, std::string_view part) {
  const auto tokenizer = vocab.Load();
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), code) << tokenizer.status().ToString();
  EXPECT_NE(tokenizer.status().ToString().find(part), std::string::npos) << tokenizer.status().ToString();
}

// The seed files of the fuzz target and every input it once broke on.
TEST(BadGguf, VocabulariesOfTheCorpusGiveIdsOfTheirOwn) {
  const std::string text = std::string(1200, 'x') + "<s>He ll\xc3\xa9 aaaa<|end|>";
  size_t read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DAMASK_SOURCE_DIR "/tests/corpus/gguf_tokenizer")) {
    formats::GgufOpenOptions options;
    options.require_tensor_data = false;
    const auto file = formats::GgufFile::Open(entry.path(), options);
    if (!file.ok()) continue;
    const auto tokenizer = Tokenizer::FromGguf(**file);
    if (!tokenizer.ok()) continue;
    ++read;
    const auto ids = (*tokenizer)->Encode(text, Special::kParse);
    ASSERT_TRUE(ids.ok()) << entry.path() << ids.status().ToString();
    for (const TokenId id : *ids) EXPECT_LT(static_cast<size_t>(id), (*tokenizer)->vocab_size()) << entry.path();
  }
  EXPECT_GE(read, 3u);
}

TEST(BadGguf, ASpecialTokenThatIsPartOfACharacterIsNotLookedFor) {
  const std::string text = std::string(1200, 'x') + "\xc3\xa9y";
  for (const MadeVocab& sound : {SpmVocab({"ab", "x", "xx"}), BpeVocab({"xx"}, {"x x"})}) {
    const auto expected = sound.Load();
    ASSERT_TRUE(expected.ok()) << expected.status().ToString();
    for (const int32_t type : {3, 4}) {
      MadeVocab vocab = sound;
      vocab.tokens.push_back({"\xa9", type});
      const auto tokenizer = vocab.Load();
      ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
      EXPECT_EQ(Ids(**tokenizer, text, Special::kParse), Ids(**expected, text, Special::kParse)) << type;
    }
  }
}

TEST(BadGguf, T01OddTextsAreTakenAndTheFirstOfTwoWins) {
  for (MadeVocab vocab : {SpmVocab({"ab", "a", "b"}), BpeVocab({"ab"}, {"a b"})}) {
    const auto first_new = static_cast<TokenId>(vocab.tokens.size());
    vocab.tokens.push_back({""});
    vocab.tokens.push_back({""});
    vocab.tokens.push_back({"ab"});
    vocab.tokens.push_back({"\xff\xfe"});
    vocab.tokens.push_back({std::string("\0x", 2)});
    const auto tokenizer = vocab.Load();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    const TokenId ab = vocab.model == "llama" ? 259 : 256;
    EXPECT_EQ((*tokenizer)->FindToken("ab"), ab);
    EXPECT_EQ((*tokenizer)->FindToken(""), std::nullopt);
    const std::vector<TokenId> ids = Ids(**tokenizer, "ab");
    EXPECT_EQ(ids.back(), ab);
    for (TokenId id = first_new; id < first_new + 5; ++id) EXPECT_EQ(std::count(ids.begin(), ids.end(), id), 0);
    EXPECT_EQ((*tokenizer)->Piece(first_new, true), "");
    EXPECT_EQ((*tokenizer)->Piece(first_new + 3, true), "\xff\xfe");
  }
}

TEST(BadGguf, T02AnIdOutOfRangeIsAsIfItWereNotThere) {
  const auto load = [](MadeVocab vocab, uint32_t id) {
    vocab.more = [id](formats::GgufWriter* writer) {
      writer->Add("tokenizer.ggml.bos_token_id", id);
      writer->Add("tokenizer.ggml.eos_token_id", id);
      writer->Add("tokenizer.ggml.eot_token_id", id);
      writer->Add("tokenizer.ggml.unknown_token_id", id);
      writer->Add("tokenizer.ggml.padding_token_id", id);
    };
    return vocab.Load();
  };
  for (const uint32_t id : {300u, 1u << 31, UINT32_MAX}) {
    const auto bpe = load(BpeVocab({}, {}), id);
    ASSERT_TRUE(bpe.ok()) << bpe.status().ToString();
    const SpecialTokens& none = (*bpe)->special();
    EXPECT_FALSE(none.bos || none.eos || none.eot || none.unk || none.pad || none.add_bos);
    EXPECT_FALSE((*bpe)->IsEndOfGeneration(static_cast<TokenId>(id)));
    // Where a file is silent Llama 2's ids are meant, as llama.cpp has it.
    const auto spm = load(SpmVocab({}), id);
    ASSERT_TRUE(spm.ok()) << spm.status().ToString();
    const SpecialTokens& usual = (*spm)->special();
    EXPECT_EQ(usual.bos, 1);
    EXPECT_EQ(usual.eos, 2);
    EXPECT_EQ(usual.unk, 0);
    EXPECT_FALSE(usual.eot || usual.pad);
    EXPECT_TRUE(usual.add_bos);
  }
}

TEST(BadGguf, AMessageCannotBeginATurnWhateverTheFileCallsItsMarks) {
  MadeVocab vocab = BpeVocab({}, {});
  const auto mark = static_cast<TokenId>(vocab.tokens.size());
  vocab.tokens.push_back({"<|im_start|>", 4});
  vocab.tokens.push_back({"<tool>", 4});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Ids(**tokenizer, "<|im_start|>", Special::kParse), std::vector<TokenId>{mark});
  EXPECT_EQ(Ids(**tokenizer, "<|im_start|>", Special::kPlain).size(), 12u);
  EXPECT_EQ(Ids(**tokenizer, "<tool>", Special::kPlain), std::vector<TokenId>{mark + 1});
}

// gpt-oss: the marks of its turns and channels, and what ends a part of an answer.
TEST(BadGguf, AMessageCannotSpellMarksThatAnswersShow) {
  for (const int32_t type : {3, 4}) {
    MadeVocab vocab = BpeVocab({}, {});
    const size_t first = vocab.tokens.size();
    const std::string shown = "<|start|><|channel|><|message|><|constrain|><|end|>";
    for (const char* mark : {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"}) {
      vocab.tokens.push_back({mark, type});
    }
    const auto tokenizer = vocab.Load();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    for (const TokenId id : Ids(**tokenizer, shown + "<|return|>", Special::kPlain)) EXPECT_LT(static_cast<size_t>(id), first);
    const std::vector<TokenId> marks = Ids(**tokenizer, shown + "<|return|>", Special::kParse);
    ASSERT_EQ(marks.size(), 6u);
    EXPECT_EQ((*tokenizer)->Decode(marks, /*show_special=*/false), shown);
    for (size_t i = 0; i < marks.size(); ++i) EXPECT_EQ((*tokenizer)->IsEndOfGeneration(marks[i]), i == 5) << i;
  }
}

TEST(BadGguf, SpecialTokensOfPhi3SwallowTheSpacesBehindThem) {
  for (const char* name : {"Phi-3-mini-4k-instruct", "other"}) {
    MadeVocab vocab = SpmVocab({"x"});
    vocab.tokens.push_back({"<|user|>", 3});
    vocab.more = [name](formats::GgufWriter* writer) { writer->Add("general.name", name); };
    const auto tokenizer = vocab.Load();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    const bool is_phi = std::string_view(name) != "other";
    EXPECT_EQ(Ids(**tokenizer, "<|user|> \nx", Special::kParse),
              Ids(**tokenizer, is_phi ? "<|user|>x" : "<|user|> \nx", Special::kParse));
    EXPECT_EQ(Ids(**tokenizer, "<|user|>\nx", Special::kParse).size(),
              Ids(**tokenizer, "<|user|>x", Special::kParse).size() + (is_phi ? 0 : 1));
    EXPECT_EQ(Ids(**tokenizer, "<s>\nx", Special::kParse).size(), Ids(**tokenizer, "<s>x", Special::kParse).size() + 1);
  }
}

TEST(BadGguf, T02ANegativeIdIsAnError) {
  MadeVocab vocab = SpmVocab({});
  vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.ggml.bos_token_id", int32_t{-1}); };
  ExpectError(vocab, StatusCode::kBadFormat, "tokenizer.ggml.bos_token_id");
}

TEST(BadGguf, T02AddingATokenThatIsNotThereIsAnError) {
  MadeVocab vocab = BpeVocab({}, {});
  vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.ggml.add_bos_token", true); };
  ExpectError(vocab, StatusCode::kBadFormat, "add_bos_token");
  vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.ggml.add_eos_token", true); };
  ExpectError(vocab, StatusCode::kBadFormat, "add_eos_token");
}

TEST(BadGguf, T02IdsOutOfRangeHaveNoText) {
  const auto tokenizer = SpmVocab({"a"}).Load();
  ASSERT_TRUE(tokenizer.ok());
  const std::vector<TokenId> ids = {-1, INT32_MIN, INT32_MAX, 260};
  for (const TokenId id : ids) {
    EXPECT_EQ((*tokenizer)->Piece(id, true), "");
    EXPECT_FALSE((*tokenizer)->IsControl(id) || (*tokenizer)->IsEndOfGeneration(id));
  }
  EXPECT_EQ((*tokenizer)->Decode(ids, true), "");
}

TEST(BadGguf, T03ByteTokensMustHaveTwoHexDigits) {
  for (const char* text : {"<0x-1>", "<0xZZ>", "<0x1>", "<0x100>", "<0x 1>", "0x41", "<0x41", ""}) {
    MadeVocab vocab = SpmVocab({});
    vocab.tokens.push_back({text, 6});
    ExpectError(vocab, StatusCode::kBadFormat, "token 259 is a byte token");
  }
}

TEST(BadGguf, T03AllByteTokensMustBeThere) {
  MadeVocab vocab = SpmVocab({"a"});
  vocab.tokens[3 + 0x41].text = "nothing";
  vocab.tokens[3 + 0x41].type = 1;
  ExpectError(vocab, StatusCode::kBadFormat, "lacks 1 of the 256 byte tokens");
}

TEST(BadGguf, T03AScoreThatIsNoNumberIsAnError) {
  MadeVocab vocab = SpmVocab({"a"});
  vocab.tokens.back().score = std::numeric_limits<float>::quiet_NaN();
  ExpectError(vocab, StatusCode::kBadFormat, "score of token 259");
}

TEST(BadGguf, T04OddMergesDoNotHarm) {
  // Unknown sides, twice the same, no second side, no space, empty, a result that is no token.
  const auto tokenizer = BpeVocab({"ab", "abc"}, {"qq zz", "a b", "a b", "c ", "cc", "", "x y", "ab c", " ", "b c"}).Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "abc"), std::vector<std::string>({"abc"}));
  // "xy" merges, is no token, and is written in its characters.
  EXPECT_EQ(Pieces(**tokenizer, "xyab"), std::vector<std::string>({"x", "y", "ab"}));
}

TEST(BadGguf, T04MergesMayBeMissingFromTheListButNotTheListItself) {
  const auto tokenizer = BpeVocab({"ab"}, {}).Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(Pieces(**tokenizer, "ab"), std::vector<std::string>({"a", "b"}));
  MadeVocab vocab = SpmVocab({});
  vocab.model = "bert";
  ExpectError(vocab, StatusCode::kUnsupported, "'bert'");
}

TEST(BadGguf, T04ManyMergesLoad) {
  std::vector<std::string> merges;
  merges.reserve(200'000);
  for (int i = 0; i < 200'000; ++i) merges.push_back(std::to_string(i) + " x");
  const auto tokenizer = BpeVocab({}, merges).Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
}

TEST(BadGguf, T06AnUnknownPreTokenizerIsNamed) {
  MadeVocab vocab = BpeVocab({}, {});
  vocab.pre = "llama-bpe\n2";
  ExpectError(vocab, StatusCode::kUnsupported, "'llama-bpe\\x0a2'");
  vocab.pre = "";
  ExpectError(vocab, StatusCode::kUnsupported, "''");
}

TEST(BadGguf, T06AMissingPreTokenizerIsTheDefaultOne) {
  MadeVocab vocab = BpeVocab({}, {});
  vocab.pre.reset();
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->description(), "bpe (default)");
}

TEST(BadGguf, T06EveryPreTokenizerOfTheListLoads) {
  for (const char* name :
       {"llama-bpe", "llama3", "llama-v3", "qwen2", "gpt-2", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "mpt",
        "starcoder", "refact", "command-r", "smollm", "tekken", "default", "gpt-4o", "viking", "bailingmoe"}) {
    MadeVocab vocab = BpeVocab({"ab"}, {"a b"});
    vocab.pre = name;
    vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.ggml.bos_token_id", uint32_t{0}); };
    const auto tokenizer = vocab.Load();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    EXPECT_EQ((*tokenizer)->Decode(Ids(**tokenizer, "ab cab\n 12345 ~é!"), false), "ab cab\n 12345 ~é!") << name;
  }
}

class BadText : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    MadeVocab vocab = GetParam() ? SpmVocab({"a", "aa", "aaaa", "\xe2\x96\x81", "\xe2\x96\x81\xe2\x96\x81"})
                                 : BpeVocab({"aa", "aaaa", "ĠĠ"}, {"a a", "aa aa", "Ġ Ġ"});
    auto made = vocab.Load();
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    tokenizer_ = std::move(made).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(BadText, T08OddButValidTextComesBack) {
  for (const std::string& text : {std::string(), std::string("   "), std::string("\0a\0", 3),
                                  std::string("\xef\xbb\xbf"
                                              "BOM"),
                                  std::string("\xef\xbf\xbd"), std::string("e\xcc\x81\xcc\xa7"),
                                  std::string("שלום \xe2\x80\xab"
                                              "abc"),
                                  std::string("\r\n\t\v\f"), std::string("\xf4\x8f\xbf\xbf\xef\xbf\xbe"),
                                  std::string("\xe1\xa0\x8e \xc2\x85 \xe3\x80\x80")}) {
    EXPECT_EQ(tokenizer_->Decode(Ids(*tokenizer_, text), false), text);
  }
}

TEST_P(BadText, T08InvalidUtf8IsRefusedWithItsPlace) {
  for (const char* text : {"ab\xff", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xe2\x82", "ab\xf5\x80\x80\x80", "ab\x80"}) {
    const auto ids = tokenizer_->Encode(text, Special::kParse);
    ASSERT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(ids.status().message().find("byte 2"), std::string::npos) << ids.status().ToString();
  }
}

TEST_P(BadText, T08MillionsOfOneLetterAreLinear) {
  for (const char letter : {'a', ' ', 'b', '\n'}) {
    const std::string text(4'000'000, letter);
    EXPECT_TRUE(tokenizer_->Decode(Ids(*tokenizer_, text), false) == text) << letter;
  }
}

TEST_P(BadText, T08MoreThanTheLimitIsRefusedUnread) {
  const size_t size = limits::kMaxTextFileBytes + 1;
  void* pages = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  const auto ids = tokenizer_->Encode(std::string_view(static_cast<const char*>(pages), size), Special::kPlain);
  EXPECT_EQ(ids.status().code(), StatusCode::kTooLarge);
  munmap(pages, size);
}

INSTANTIATE_TEST_SUITE_P(Both, BadText, ::testing::Values(true, false),
                         [](const auto& test) { return test.param ? "Spm" : "Bpe"; });

}  // namespace
}  // namespace damask::tokenizer
