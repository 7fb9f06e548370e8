#include "cli/token_input.h"

#include <algorithm>

#include "base/text.h"
#include "cli/text_input.h"

namespace damask::cli {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

// What stands between commas, and within that between spaces. Nothing between two commas is an empty word.
std::vector<std::string_view> WordsOf(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::string_view part : Split(text, ',')) {
    const size_t words_before = words.size();
    while (true) {
      part.remove_prefix(std::min(part.find_first_not_of(kSpaces), part.size()));
      if (part.empty()) break;
      const std::string_view word = part.substr(0, part.find_first_of(kSpaces));
      words.push_back(word);
      part.remove_prefix(word.size());
    }
    if (words.size() == words_before) words.emplace_back();
  }
  return words;
}

}  // namespace

void TokenInput::Declare(Flags* flags, const std::string& what) {
  flags->Text("--tokens", "N,N", &tokens, what);
  flags->Text("-f,--file", "FILE", &file, "them from a file, between commas, spaces or newlines; - is standard input");
}

Result<std::string> TokenInput::Read() const {
  if (tokens && file) return InvalidArgument("--tokens and --file exclude each other");
  if (tokens) return *tokens;
  return ReadDocument(file.value_or("-"));
}

Result<std::vector<tokenizer::TokenId>> TokenInput::Parse(std::string_view text, size_t vocab) const {
  if (vocab == 0) return Internal("a vocabulary without tokens");
  const std::string from = tokens ? "--tokens" : file.value_or("-") == "-" ? "standard input" : Quote(*file);
  std::vector<tokenizer::TokenId> ids;
  for (const std::string_view word : WordsOf(text)) {
    const Result<uint64_t> id = ParseUint(word, 0, vocab - 1);
    if (!id.ok()) return id.status().At(from);
    ids.push_back(static_cast<tokenizer::TokenId>(*id));
  }
  return ids;
}

}  // namespace damask::cli
