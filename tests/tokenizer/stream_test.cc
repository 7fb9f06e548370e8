// Text out of ids one by one.
#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/tokenizer/made_vocab.h"
#include "tests/tokenizer/vocab_cases.h"

namespace damask::tokenizer {
namespace {

std::string Stream(const Tokenizer& tokenizer, std::span<const TokenId> ids, bool at_start) {
  StreamDecoder decoder(&tokenizer, at_start);
  std::string text;
  for (const TokenId id : ids) {
    const std::string part = decoder.Add(id);
    EXPECT_TRUE(IsValidUtf8(part)) << "half a character at id " << id;
    text += part;
  }
  return text + decoder.Finish();
}

TEST(StreamDecoder, T10GivesTheSameTextAsDecodeAndNeverHalfACharacter) {
  for (const char* name : {"llama-spm", "gpt-2"}) {
    const auto tokenizer = testing::LoadVocab(name);
    ASSERT_NE(tokenizer, nullptr);
    for (uint32_t seed = 1; seed <= 50; ++seed) {
      const std::string text = testing::RandomText(seed, 200);
      EXPECT_EQ(Stream(*tokenizer, testing::Ids(*tokenizer, text), true), text) << name << " seed " << seed;
    }
  }
}

TEST(StreamDecoder, T10HoldsBackWhatMayStillBecomeACharacter) {
  const auto tokenizer = testing::SpmVocab({}).Load();
  ASSERT_TRUE(tokenizer.ok());
  const auto byte = [](int value) { return static_cast<TokenId>(3 + value); };
  StreamDecoder decoder(tokenizer->get(), false);
  EXPECT_EQ(decoder.Add(byte(0xf0)), "");
  EXPECT_EQ(decoder.Add(byte(0x9f)), "");
  EXPECT_EQ(decoder.Add(byte(0xa6)), "");
  EXPECT_EQ(decoder.Add(byte(0x99)), "🦙");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(StreamDecoder, T10AnUnfinishedTailBecomesOneReplacementCharacter) {
  const auto tokenizer = testing::SpmVocab({}).Load();
  ASSERT_TRUE(tokenizer.ok());
  StreamDecoder decoder(tokenizer->get(), false);
  EXPECT_EQ(decoder.Add(3 + 'a'), "a");
  EXPECT_EQ(decoder.Add(3 + 0xe2), "");
  EXPECT_EQ(decoder.Add(3 + 0x82), "");
  EXPECT_EQ(decoder.Finish(), "\xef\xbf\xbd");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(StreamDecoder, T10BytesThatCannotBecomeACharacterAreReplacedAtOnce) {
  const auto tokenizer = testing::SpmVocab({}).Load();
  ASSERT_TRUE(tokenizer.ok());
  StreamDecoder decoder(tokenizer->get(), false);
  EXPECT_EQ(decoder.Add(3 + 0xff), "\xef\xbf\xbd");
  EXPECT_EQ(decoder.Add(3 + 0xe2), "");
  EXPECT_EQ(decoder.Add(3 + 'x'), "\xef\xbf\xbdx");
}

TEST(StreamDecoder, DropsTheSpaceOfTheFirstWordOnlyWhereTheStreamBeginsTheText) {
  const auto tokenizer = testing::LoadVocab("llama-spm");
  ASSERT_NE(tokenizer, nullptr);
  const std::vector<TokenId> ids = {1, 15043, 3186};  // <s>▁Hello▁world
  EXPECT_EQ(Stream(*tokenizer, ids, true), "Hello world");
  EXPECT_EQ(Stream(*tokenizer, ids, false), " Hello world");
}

}  // namespace
}  // namespace damask::tokenizer
