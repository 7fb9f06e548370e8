// Words and numbers of the small text tables that policies read (spans, heads).
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

namespace damask::policies {

// The whole of `text` as a number.
template <class Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Of a line, before # (a comment).
inline std::vector<std::string_view> LineWords(std::string_view line) {
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  for (size_t i = 0; i < line.size();) {
    if (is_space(line[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < line.size() && !is_space(line[i])) ++i;
    words.push_back(line.substr(begin, i - begin));
  }
  return words;
}

}  // namespace damask::policies
