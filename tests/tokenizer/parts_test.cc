// The parts that tokenizers are made of: patterns, splitting, merging.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "tests/tokenizer/made_vocab.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/merger.h"
#include "tokenizer/pre_tokenizer.h"

namespace damask::tokenizer {
namespace {

using Texts = std::vector<std::string>;

Texts Words(const PreTokenizer& pre, std::string_view text) {
  std::vector<WordRange> ranges;
  const Status status = pre.Split(text, &ranges);
  EXPECT_TRUE(status.ok()) << status.ToString();
  Texts words;
  for (const WordRange& range : ranges) words.emplace_back(text.substr(range.begin, range.size));
  return words;
}

Texts SplitBy(std::string_view pattern, SplitBehavior behavior, bool invert, std::string_view text) {
  std::vector<SplitStep> steps;
  steps.push_back({Regex::Compile(pattern).value(), behavior, invert});
  return Words(PreTokenizer(std::move(steps)), text);
}

TEST(PreTokenizer, BehavioursAreThoseOfTokenizerJson) {
  const std::string_view text = "the-final--countdown";
  EXPECT_EQ(SplitBy("-", SplitBehavior::kRemoved, false, text), Texts({"the", "final", "countdown"}));
  EXPECT_EQ(SplitBy("-", SplitBehavior::kIsolated, false, text), Texts({"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(SplitBy("-", SplitBehavior::kMergedWithPrevious, false, text), Texts({"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(SplitBy("-", SplitBehavior::kMergedWithNext, false, text), Texts({"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(SplitBy("-", SplitBehavior::kContiguous, false, text), Texts({"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(SplitBy("-", SplitBehavior::kRemoved, true, text), Texts({"-", "-", "-"}));
}

TEST(PreTokenizer, ANameHasItsOwnWayWithDigitsAndSpaces) {
  const auto words = [](std::string_view name, std::string_view text) {
    return Words(MakePreTokenizer(*FindPreTokenizerRules(name)).value(), text);
  };
  EXPECT_EQ(words("gpt-2", "I've  12345\n\n x"), Texts({"I", "'ve", " ", " 12345", "\n\n", " x"}));
  EXPECT_EQ(words("llama-bpe", "I'VE 12345\n x"), Texts({"I", "'VE", " ", "123", "45", "\n", " x"}));
  EXPECT_EQ(words("qwen2", "12a"), Texts({"1", "2", "a"}));
  EXPECT_EQ(words("starcoder", "a12 b"), Texts({"a", "1", "2", " b"}));
  EXPECT_EQ(words("falcon", "a12345!"), Texts({"a", "123", "45", "!"}));
  EXPECT_EQ(words("tekken", "HelloWorld ÀÉx"), Texts({"Hello", "World", " ÀÉx"}));
  EXPECT_EQ(words("deepseek-llm", "ab  中文 12"), Texts({"ab", "  ", "中文", " ", "12"}));
}

TEST(PreTokenizer, WhiteSpaceIsUnicodesOwn) {
  // U+180E has not been a space since Unicode 6.3; U+0085 and U+3000 are.
  EXPECT_EQ(SplitBy("\\s", SplitBehavior::kIsolated, false,
                    "a\xe1\xa0\x8e"
                    "b"),
            Texts({"a\xe1\xa0\x8e"
                   "b"}));
  EXPECT_EQ(SplitBy("[\\sx]", SplitBehavior::kRemoved, false,
                    "a\xc2\x85"
                    "b\xe3\x80\x80"
                    "cxd"),
            Texts({"a", "b", "c", "d"}));
  EXPECT_EQ(SplitBy("\\S+", SplitBehavior::kRemoved, true,
                    "a\xc2\x85"
                    "b"),
            Texts({"a", "b"}));
}

TEST(PreTokenizer, ANamedClassWithinAClassIsOneMember) {
  EXPECT_EQ(SplitBy("[[:alpha:]\\s]+", SplitBehavior::kRemoved, false, "ab cd1"), Texts({"1"}));
  EXPECT_EQ(SplitBy("[\\s[:alpha:]]+", SplitBehavior::kRemoved, false, "ab cd1"), Texts({"1"}));
  EXPECT_EQ(SplitBy("[\\[a]+", SplitBehavior::kRemoved, false, "[ab"), Texts({"b"}));
  EXPECT_EQ(Regex::Compile("[a[bc]]").status().code(), StatusCode::kUnsupported);
}

TEST(PreTokenizer, NoTextMakesAPatternExplode) {
  // Exponential, and deep in its backtracking.
  for (const char* pattern : {"(a+)+b", "(a|aa)+b", "(?:a|b)*c"}) {
    std::vector<SplitStep> steps;
    steps.push_back({Regex::Compile(pattern).value()});
    std::vector<WordRange> words;
    const Status status = PreTokenizer(std::move(steps)).Split(std::string(20'000, 'a'), &words);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kInvalidArgument) << status.ToString();
  }
  std::vector<WordRange> words;
  EXPECT_TRUE(
      MakePreTokenizer(*FindPreTokenizerRules("deepseek-llm")).value().Split(std::string(1'000'000, ' ') + "x", &words).ok());
}

// Here no step is counted, or each start of a match has steps enough of its own.
TEST(PreTokenizer, APatternThatIsSlowAtEveryStartRunsOutOfTime) {
  const auto stalls = [](std::string_view pattern, const std::string& text) {
    const Regex regex = Regex::Compile(pattern).value();
    Regex::Matcher matcher(regex, std::chrono::milliseconds(20));
    for (size_t done = 0; done < text.size();) {
      const auto match = matcher.Next(text, done);
      if (!match.ok()) return match.status().message().find("too many steps") != std::string::npos;
      if (!*match) return false;
      done = (*match)->end;
    }
    return false;
  };
  const std::string text(200'000, 'a');
  EXPECT_TRUE(stalls("a*b|a", text));
  EXPECT_TRUE(stalls("(?:a|e)*[bc]", text));
}

TEST(PreTokenizer, MatchesFarApartAreFound) {
  const std::string gap = "xé" + std::string(5000, 'y');
  EXPECT_EQ(SplitBy("(?<=y)[é-]", SplitBehavior::kIsolated, false, gap + "-" + gap + "é"), Texts({gap, "-", gap, "é"}));
  std::string wide;
  for (int i = 0; i < 1000; ++i) wide += "中";
  EXPECT_EQ(SplitBy("\\d", SplitBehavior::kIsolated, false, wide + "1" + wide), Texts({wide, "1", wide}));
  EXPECT_EQ(Regex::Compile("\\Ga").status().code(), StatusCode::kUnsupported);
}

// The same rule, the slow way: look at all pairs, merge the best, again.
std::vector<Symbol> MergeSlowly(const MergeTable& table, std::vector<Symbol> symbols) {
  while (true) {
    const MergeTable::Entry* best = nullptr;
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const MergeTable::Entry* entry = table.Find(symbols[i], symbols[i + 1]);
      if (entry != nullptr && (best == nullptr || entry->rank < best->rank)) {
        best = entry;
        best_at = i;
      }
    }
    if (best == nullptr) return symbols;
    symbols[best_at] = best->result;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best_at) + 1);
  }
}

TEST(Merger, MergesTheLowestRankAndOfEqualsTheLeftmost) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    MergeTable table;
    for (int i = 0; i < 60; ++i)
      table.Add(random() % 12, random() % 12, {static_cast<uint32_t>(random() % 20), static_cast<Symbol>(random() % 12)});
    std::vector<Symbol> symbols(1 + random() % 120);
    for (Symbol& symbol : symbols) symbol = random() % 13 == 12 ? kNoSymbol : random() % 12;
    const std::vector<Symbol> expected = MergeSlowly(table, symbols);
    Merger(&table).Run(&symbols, nullptr);
    ASSERT_EQ(symbols, expected) << "seed " << seed;
  }
}

TEST(ByteAlphabet, EveryByteHasACharacterThatIsItsOwn) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  std::string characters;
  AppendByteCharacters(bytes, &characters);
  EXPECT_EQ(FromByteCharacters(characters), bytes);
  EXPECT_EQ(ByteCharacter(' '), "Ġ");
  EXPECT_EQ(ByteCharacter('\n'), "Ċ");
  EXPECT_EQ(FromByteCharacters("中a"), "中a") << "what is no character of the alphabet stays";
}

TEST(SpecialTokens, TheLongestIsFoundFirst) {
  testing::MadeVocab vocab = testing::BpeVocab({}, {});
  for (const char* text : {"<|a|>", "<|a|><|b|>", "|><|"}) vocab.tokens.push_back({text, 3});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(testing::Pieces(**tokenizer, "<|a|><|b|><|a|>", Special::kParse), Texts({"<|a|><|b|>", "<|a|>"}));
  EXPECT_EQ(testing::Pieces(**tokenizer, "<|a|>.", Special::kParse), Texts({"<|a|>", "."}));
  EXPECT_EQ(testing::Pieces(**tokenizer, "<|a|>", Special::kPlain).size(), 5u);
}

TEST(SpecialTokens, MarksOfThoughtsAreShownAndNeverComeFromPlainText) {
  testing::MadeVocab vocab = testing::BpeVocab({}, {});
  vocab.tokens.push_back({"<seed:think>", 3});
  vocab.tokens.push_back({"<seed:eos>", 3});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  const std::vector<TokenId> marked = testing::Ids(**tokenizer, "<seed:think>a<seed:eos>", Special::kParse);
  ASSERT_EQ(marked.size(), 3u);
  EXPECT_EQ((*tokenizer)->Decode(marked, false), "<seed:think>a");
  EXPECT_GT(testing::Ids(**tokenizer, "<seed:think>").size(), 1u);
}

TEST(SpecialTokens, LongOnesAreNotLookedFor) {
  testing::MadeVocab vocab = testing::BpeVocab({}, {});
  const auto mark = static_cast<TokenId>(vocab.tokens.size());
  for (const size_t length : {256, 257}) vocab.tokens.push_back({std::string(length, 'a'), 4});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(testing::Ids(**tokenizer, std::string(257, 'a')), std::vector<TokenId>({mark, 'a'}));
}

TEST(SpecialTokens, PartsDecideWhatMayBeFoundWhere) {
  testing::MadeVocab vocab = testing::BpeVocab({"ab"}, {"a b"});
  vocab.tokens.push_back({"<x>", 3});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok());
  const std::vector<TextPart> parts = {
      {"<x>a", Special::kParse}, {"b<x>", Special::kPlain}, {"<x", Special::kParse}, {">", Special::kPlain}};
  const auto ids = (*tokenizer)->EncodeParts(parts);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(*ids, std::vector<TokenId>({257, 256, '<' - 0, 'x' - 0, '>' - 0, '<' - 0, 'x' - 0, '>' - 0}));
}

}  // namespace
}  // namespace damask::tokenizer
