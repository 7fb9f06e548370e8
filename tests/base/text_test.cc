#include "base/text.h"

#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace damask {
namespace {

std::string Encode(uint32_t code_point) {
  std::string out;
  AppendUtf8(code_point, &out);
  return out;
}

bool IsSurrogate(uint32_t code_point) { return code_point >= 0xd800 && code_point < 0xe000; }

TEST(Utf8, EveryCharacterOfUnicodeIsValidAndNothingShorterIs) {
  for (uint32_t code_point = 0; code_point <= 0x10ffff; ++code_point) {
    if (IsSurrogate(code_point)) continue;
    const std::string text = Encode(code_point);
    ASSERT_EQ(text.size(), code_point < 0x80 ? 1u : code_point < 0x800 ? 2u : code_point < 0x10000 ? 3u : 4u);
    ASSERT_EQ(Utf8Length(text), text.size()) << code_point;
    ASSERT_EQ(Utf8Length(text + "a"), text.size()) << code_point;
    if (text.size() > 1) {
      ASSERT_EQ(Utf8Length(std::string_view(text).substr(0, text.size() - 1)), 0u) << code_point;
    }
  }
}

TEST(Utf8, SurrogatesOverlongFormsAndValuesBeyondUnicodeAreNotValid) {
  for (const char* text :
       {"\xed\xa0\x80", "\xed\xbf\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\x80", "\xbf"}) {
    EXPECT_EQ(Utf8Length(text), 0u) << text;
    EXPECT_FALSE(IsValidUtf8(text));
  }
}

TEST(Utf8, OfAllTwoByteTextsThoseAreValidThatTheDefinitionSays) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const char text[] = {static_cast<char>(first), static_cast<char>(second)};
      const bool pair = first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf;
      ASSERT_EQ(IsValidUtf8({text, 2}), pair || (first < 0x80 && second < 0x80)) << first << " " << second;
    }
  }
}

TEST(Utf8, ANulByteIsACharacterAndAnEmptyTextIsValid) {
  EXPECT_EQ(Utf8Length(std::string_view("\0", 1)), 1u);
  EXPECT_EQ(Utf8Length(""), 0u);
  EXPECT_TRUE(IsValidUtf8(""));
}

TEST(Utf8, EveryProperBeginningOfACharacterIsAnIncompleteTail) {
  for (uint32_t code_point = 0x80; code_point <= 0x10ffff; code_point += code_point < 0x11000 ? 1 : 101) {
    if (IsSurrogate(code_point)) continue;
    const std::string text = "ab" + Encode(code_point);
    ASSERT_EQ(IncompleteUtf8Tail(text), 0u);
    for (size_t size = 3; size < text.size(); ++size) {
      ASSERT_EQ(IncompleteUtf8Tail(std::string_view(text).substr(0, size)), size - 2) << code_point;
    }
  }
}

TEST(Utf8, ATailThatNothingCanCompleteIsNotIncomplete) {
  for (const char* text : {"", "a", "\x80", "\xff", "\xc0", "\xe0\x80", "\xed\xa0", "\xf0\x80", "\xf4\x90", "\xf5",
                           "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x80\x80\x80\x80", "\xe2\x61"}) {
    EXPECT_EQ(IncompleteUtf8Tail(text), 0u) << text;
  }
}

TEST(Utf8, ACutTakesNoPartOfACharacter) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac";
  const size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6};
  for (size_t max = 0; max < std::size(lengths); ++max) EXPECT_EQ(CutUtf8(text, max), text.substr(0, lengths[max])) << max;
}

TEST(Utf8, SanitizeLeavesValidTextAloneAndMakesAnyBytesValid) {
  EXPECT_EQ(SanitizeUtf8("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
  EXPECT_EQ(SanitizeUtf8("a\xff\x62\xe2\x82"), "a\xef\xbf\xbd\x62\xef\xbf\xbd\xef\xbf\xbd");
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(50, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_TRUE(IsValidUtf8(SanitizeUtf8(bytes)));
  }
}

TEST(Utf8, AppendTurnsWhatIsNoCharacterIntoTheReplacementCharacter) {
  EXPECT_EQ(Encode(0xd800), "\xef\xbf\xbd");
  EXPECT_EQ(Encode(0xdfff), "\xef\xbf\xbd");
  EXPECT_EQ(Encode(0x110000), "\xef\xbf\xbd");
  EXPECT_EQ(Encode(0xffffffff), "\xef\xbf\xbd");
}

TEST(Quote, ShowsPrintableTextAsItIs) {
  EXPECT_EQ(Quote("blk.0.attn_q.weight"), "'blk.0.attn_q.weight'");
  EXPECT_EQ(Quote("gr\xc3\xbc\xc3\x9f"), "'gr\xc3\xbc\xc3\x9f'");
  EXPECT_EQ(Quote(""), "''");
}

TEST(Quote, EscapesWhatIsNotUtf8AndWhatSteersATerminal) {
  EXPECT_EQ(Quote(std::string_view("a\0b\n\x1b[31m\x7f", 10)), "'a\\x00b\\x0a\\x1b[31m\\x7f'");
  EXPECT_EQ(Quote("\xff\xc3"), "'\\xff\\xc3'");
  EXPECT_EQ(Quote("\xc2\x9b"), "'\\xc2\\x9b'");           // U+009B, the control sequence introducer
  EXPECT_EQ(Quote("\xe2\x80\xae"), "'\\xe2\\x80\\xae'");  // U+202E, right-to-left override
  EXPECT_EQ(Quote("\xe2\x81\xa6"), "'\\xe2\\x81\\xa6'");  // U+2066, left-to-right isolate
  EXPECT_EQ(Quote("\xe2\x80\xa8"), "'\\xe2\\x80\\xa8'");  // U+2028, line separator
  EXPECT_EQ(Quote("\xe2\x80\x94"), "'\xe2\x80\x94'");     // an em dash is text
}

TEST(Quote, EscapesItsOwnMarksSoThatNoTwoTextsLookAlike) {
  EXPECT_EQ(Quote("it's"), "'it\\'s'");
  EXPECT_EQ(Quote("\\x00"), "'\\\\x00'");
}

TEST(Quote, CutsLongTextsBetweenCharacters) {
  EXPECT_EQ(Quote("abcdef", 6), "'abcdef'");
  EXPECT_EQ(Quote("abcdefg", 6), "'abcdef...'");
  EXPECT_EQ(Quote("abcde\xe2\x82\xac", 6), "'abcde...'");
  EXPECT_LE(Quote(std::string(1 << 20, '\x01')).size(), 80u * 4 + 5);
}

TEST(Quote, GivesOneLineOfValidUtf8ForAnyBytes) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    std::string bytes(100, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const std::string quoted = Quote(bytes);
    ASSERT_TRUE(IsValidUtf8(quoted));
    for (const char c : quoted) ASSERT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

TEST(Format, BytesInPowersOfAThousandWithAtMostThreeDigitsInFront) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 KB");
  EXPECT_EQ(FormatBytes(912'000), "912 KB");
  EXPECT_EQ(FormatBytes(99'940), "99.9 KB");
  EXPECT_EQ(FormatBytes(99'960), "100 KB");
  EXPECT_EQ(FormatBytes(999'499), "999 KB");
  EXPECT_EQ(FormatBytes(999'500), "1.0 MB");
  EXPECT_EQ(FormatBytes(1'300'000'000), "1.3 GB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "18.4 EB");
}

TEST(Text, CountedHasAPlural) {
  EXPECT_EQ(Counted(0, "token"), "0 tokens");
  EXPECT_EQ(Counted(1, "token"), "1 token");
  EXPECT_EQ(Counted(2, "KV head"), "2 KV heads");
}

TEST(Format, SecondsAsAPersonSaysThem) {
  EXPECT_EQ(FormatSeconds(0.0), "0.0s");
  EXPECT_EQ(FormatSeconds(4.2), "4.2s");
  EXPECT_EQ(FormatSeconds(59.96), "1m00s");
  EXPECT_EQ(FormatSeconds(187), "3m07s");
  EXPECT_EQ(FormatSeconds(3599.6), "1h00m");
  EXPECT_EQ(FormatSeconds(3725), "1h02m");
}

TEST(Format, SecondsThatAreNoNumberAreAQuestionMark) {
  EXPECT_EQ(FormatSeconds(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(FormatSeconds(std::numeric_limits<double>::quiet_NaN()), "?");
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(Split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(Split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(Split(",", ','), (std::vector<std::string_view>{"", ""}));
}

}  // namespace
}  // namespace damask
