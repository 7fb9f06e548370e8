// Real vocabularies: the ids that llama.cpp gives, and text that comes back as it went in.
#include <gtest/gtest.h>

#include "tests/tokenizer/vocab_cases.h"

namespace damask::tokenizer {
namespace {

using testing::LoadVocab;
using testing::RandomText;
using testing::ReadVocabCases;
using testing::VocabCase;

class VocabTest : public ::testing::TestWithParam<const char*> {};

TEST_P(VocabTest, EveryTextGivesTheExpectedIds) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadVocab(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const std::vector<VocabCase> cases = ReadVocabCases(GetParam());
  ASSERT_EQ(cases.size(), 46u);
  for (const VocabCase& test : cases) {
    const auto ids = tokenizer->Encode(test.text, Special::kPlain);
    ASSERT_TRUE(ids.ok()) << ids.status().ToString();
    EXPECT_EQ(*ids, test.ids) << test.text;
  }
}

TEST_P(VocabTest, EveryTextComesBack) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadVocab(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  for (const VocabCase& test : ReadVocabCases(GetParam())) EXPECT_EQ(tokenizer->Decode(test.ids, false), test.text);
}

TEST_P(VocabTest, RandomUnicodeComesBack) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadVocab(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    const std::string text = RandomText(seed, seed * 7);
    const auto ids = tokenizer->Encode(text, Special::kPlain);
    ASSERT_TRUE(ids.ok()) << ids.status().ToString() << " seed " << seed;
    ASSERT_EQ(tokenizer->Decode(*ids, false), text) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, VocabTest, ::testing::Values("llama-spm", "gpt-2", "deepseek-coder"), [](const auto& test) {
  std::string name = test.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace damask::tokenizer
