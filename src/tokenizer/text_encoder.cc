#include "tokenizer/text_encoder.h"

namespace damask::tokenizer {

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  size_t begin = 0;
  while (true) {
    const size_t found = text.find(from, begin);
    if (found == std::string_view::npos) break;
    out += text.substr(begin, found - begin);
    out += to;
    begin = found + from.size();
  }
  out += text.substr(begin);
  return out;
}

bool TokensStayInWords(const Vocabulary& vocabulary) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const std::string_view text = vocabulary.token(static_cast<TokenId>(i)).text;
    if (!text.empty() && WordLength(text) < text.size()) return false;
  }
  return true;
}

size_t WordLength(std::string_view text) {
  size_t end = 0;
  while (text.substr(end, kSpaceMark.size()) == kSpaceMark) end += kSpaceMark.size();
  const size_t next = text.find(kSpaceMark, end);
  return next == std::string_view::npos ? text.size() : next;
}

}  // namespace damask::tokenizer
