#include "texts/retrieval.h"

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/texts/vocab.h"
#include "texts/words.h"

namespace damask::texts {
namespace {

class Retrieval : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    vocab_ = LoadVocab(GetParam());
    ASSERT_NE(vocab_, nullptr);
  }

  RetrievalTokens Make(size_t tokens, uint64_t seed) const {
    Result<RetrievalTokens> made = RetrievalText(*vocab_, tokens, seed);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    return made.ok() ? *made : RetrievalTokens{};
  }

  std::string Text(const RetrievalTokens& made) const { return vocab_->Decode(made.ids, true); }

  std::unique_ptr<tokenizer::Tokenizer> vocab_;
};

TEST_P(Retrieval, HasAsManyTokensAsAskedFor) {
  for (const size_t tokens : {0U, 1U, 100U, 4096U}) {
    const RetrievalTokens made = Make(tokens, 1);
    EXPECT_EQ(made.ids.size(), tokens);
    EXPECT_EQ(made.is_answer.size(), tokens);
  }
}

TEST_P(Retrieval, FollowsFromItsSeed) {
  EXPECT_EQ(Make(1000, 1).ids, Make(1000, 1).ids);
  EXPECT_NE(Make(1000, 1).ids, Make(1000, 2).ids);
}

TEST_P(Retrieval, MarksExactlyTheValuesOfTheAnswers) {
  const RetrievalTokens made = Make(4096, 3);
  std::string marked;
  for (size_t i = 0; i < made.ids.size(); ++i) {
    if (made.is_answer[i]) {
      marked += vocab_->Piece(made.ids[i], true);
    } else if (!marked.empty() && marked.back() != '|') {
      marked += '|';
    }
  }
  std::string expected;
  // The words of an answer's line that answer: the value, or every name of a chain.
  std::regex answer("$^");
  std::istringstream lines(Text(made));
  for (std::string line; std::getline(lines, line);) {
    for (std::sregex_iterator it(line.begin(), line.end(), answer); it != std::sregex_iterator(); ++it) {
      expected += it->str() + "|";
    }
    answer = "$^";  // nothing
    if (line.rfind("What is ", 0) == 0) answer = "[0-9]{1,5}";
    if (line.rfind("Find all ", 0) == 0) answer = "[A-Z]{1,3}";
  }
  marked.erase(std::remove(marked.begin(), marked.end(), ' '), marked.end());
  if (!marked.empty() && marked.back() != '|') marked += '|';
  EXPECT_EQ(marked, expected);
}

TEST_P(Retrieval, AsksForChainsThatStandFarBack) {
  const std::string text = Text(Make(8192, 4));
  const std::regex question("Find all variables that are assigned the value ([0-9]{5})\\.\n([A-Z, ]+)\n");
  size_t chains = 0;
  size_t longest = 0;
  std::set<std::string> asked;
  for (std::sregex_iterator it(text.begin(), text.end(), question); it != std::sregex_iterator(); ++it) {
    EXPECT_TRUE(asked.insert((*it)[1]).second) << it->str();
    std::istringstream names((*it)[2].str());
    std::string source = (*it)[1];
    size_t links = 0;
    for (std::string name; std::getline(names >> std::ws, name, ','); ++links) {
      const size_t assigned = text.find("VAR " + name + " = " + (links == 0 ? "" : "VAR ") + source + "\n");
      ASSERT_NE(assigned, std::string::npos) << it->str();
      EXPECT_GT(static_cast<size_t>(it->position()), assigned + text.size() / 10) << it->str();
      source = name;
    }
    longest = std::max(longest, links);
    ++chains;
  }
  EXPECT_GT(chains, 8U);
  EXPECT_GT(longest, 1U);
}

TEST_P(Retrieval, EveryQuestionHasItsFactFarBackAndOnlyOnce) {
  const std::string text = Text(Make(8192, 4));
  const std::regex question("What is the [^\n]* (?:line|for|of) ([a-z-]+)\\?\n([^\n]*?)([0-9]{5})[.>]?\n");
  size_t questions = 0;
  std::set<std::string> keys;
  for (std::sregex_iterator it(text.begin(), text.end(), question); it != std::sregex_iterator(); ++it) {
    const std::string key = (*it)[1];
    const std::string value = (*it)[3];
    EXPECT_TRUE(keys.insert(key).second) << key;
    const auto at = static_cast<size_t>(it->position());
    // The first mention of the key is its fact.
    const size_t fact = text.find(key + ((*it)[2].str().find("magic") != std::string::npos ? " is: " : ": "));
    ASSERT_LT(fact, at) << it->str();
    EXPECT_NE(text.substr(fact, 80).find(value), std::string::npos) << it->str();
    EXPECT_GT(at - fact, text.size() / 10) << it->str();
    ++questions;
  }
  EXPECT_GT(questions, 40U);
}

TEST_P(Retrieval, HasNothingOfTheEvaluation) {
  const std::string text = Text(Make(8192, 5));
  const std::regex value("[0-9]{5}");
  for (std::sregex_iterator it(text.begin(), text.end(), value); it != std::sregex_iterator(); ++it) {
    EXPECT_NE(std::stoull(it->str()) % 7, 3U);
  }
  const std::regex key("([a-z]+)-([a-z]+)");
  for (std::sregex_iterator it(text.begin(), text.end(), key); it != std::sregex_iterator(); ++it) {
    EXPECT_FALSE(IsEvaluationWord((*it)[1].str()) || IsEvaluationWord((*it)[2].str())) << it->str();
  }
}

TEST_P(Retrieval, HasAllFormatsAndProse) {
  const std::string text = Text(Make(8192, 6));
  for (const char* part : {"REGISTER_CONTENT is <", "special magic numbers for ", "What is the value of "}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_TRUE(std::regex_search(text, std::regex("\n[A-Z][a-z ,]+\\.\n")));
}

TEST_P(Retrieval, KeysAreWordsOfTheVocabulary) {
  const std::vector<std::string> words = VocabularyWords(*vocab_);
  EXPECT_GT(words.size(), 1000U);
  for (const std::string& word : words) {
    EXPECT_TRUE(std::regex_match(word, std::regex("[a-z]{3,10}"))) << word;
    EXPECT_TRUE(vocab_->FindToken(word) || vocab_->FindToken(" " + word) || vocab_->FindToken("\u2581" + word) ||
                vocab_->FindToken("\u0120" + word))
        << word;
    EXPECT_FALSE(IsEvaluationWord(word)) << word;
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Retrieval, ::testing::Values("llama-spm", "gpt-2"),
                         [](const auto& vocab) { return std::string(vocab.param) == "gpt-2" ? "gpt2" : "spm"; });

}  // namespace
}  // namespace damask::texts
