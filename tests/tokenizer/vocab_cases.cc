#include "tests/tokenizer/vocab_cases.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "base/file.h"
#include "base/text.h"

namespace damask::tokenizer::testing {
namespace {

std::string VocabPath(const std::string& name) {
  return std::string(DAMASK_SOURCE_DIR) + "/tests/vocab/ggml-vocab-" + name + ".gguf";
}

std::vector<std::string> SplitTexts(const std::string& file) {
  static const std::string kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  size_t begin = 0;
  for (size_t end = file.find(kSeparator); end != std::string::npos; end = file.find(kSeparator, begin)) {
    texts.push_back(file.substr(begin, end - begin));
    begin = end + kSeparator.size();
  }
  return texts;
}

}  // namespace

std::vector<VocabCase> ReadVocabCases(const std::string& name) {
  const Result<std::string> texts = ReadTextFile(VocabPath(name) + ".inp", 1 << 20);
  const Result<std::string> ids = ReadTextFile(VocabPath(name) + ".out", 1 << 20);
  if (!texts.ok() || !ids.ok()) return {};
  std::vector<VocabCase> cases;
  for (const std::string& text : SplitTexts(*texts)) cases.push_back({text, {}});
  std::istringstream lines(*ids);
  size_t line_number = 0;
  for (std::string line; std::getline(lines, line); ++line_number) {
    if (line_number >= cases.size()) return {};
    std::istringstream numbers(line);
    for (TokenId id = 0; numbers >> id;) cases[line_number].ids.push_back(id);
  }
  return line_number == cases.size() ? cases : std::vector<VocabCase>();
}

std::unique_ptr<Tokenizer> LoadVocab(const std::string& name) {
  formats::GgufOpenOptions options;
  options.require_tensor_data = false;
  const auto file = formats::GgufFile::Open(VocabPath(name), options);
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  if (!file.ok()) return nullptr;
  Result<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::FromGguf(**file);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  return tokenizer.ok() ? std::move(tokenizer).value() : nullptr;
}

std::string RandomText(uint32_t seed, size_t bytes) {
  struct Range {
    uint32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {'a', 'z'},       {'a', 'z'},         {'A', 'Z'},       {'0', '9'},         {' ', ' '},       {' ', '/'},
      {0, 0x1f},        {0x7f, 0xff},       {0x300, 0x36f},   {0x370, 0x3ff},     {0x410, 0x44f},   {0x5d0, 0x5ea},
      {0x621, 0x64a},   {0x1780, 0x17dd},   {0x2000, 0x206f}, {0x3040, 0x30ff},   {0x4e00, 0x9fff}, {0xac00, 0xd7a3},
      {0xe000, 0xffff}, {0x1f300, 0x1f6ff}, {0x660, 0x669},   {0x10000, 0x10ffff}};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) {
    const Range range = kRanges[random() % std::size(kRanges)];
    for (uint32_t run = random() % 6 + 1; run > 0; --run)
      AppendUtf8(range.first + random() % (range.last - range.first + 1), &text);
  }
  return text;
}

}  // namespace damask::tokenizer::testing
