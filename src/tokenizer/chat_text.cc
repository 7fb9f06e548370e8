#include "tokenizer/chat_text.h"

#include <algorithm>

#include "tokenizer/thoughts.h"

namespace damask::tokenizer {
namespace {

// Inside a Jinja string literal a newline is the two characters \n.
std::string Unescape(std::string_view literal) {
  std::string out;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] == '\\' && i + 1 < literal.size()) {
      ++i;
      out += literal[i] == 'n' ? '\n' : literal[i];
    } else {
      out += literal[i];
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> DefaultChatMlSystem(std::string_view jinja) {
  constexpr std::string_view kHead = "<|im_start|>system";
  for (size_t at = jinja.find(kHead); at != std::string_view::npos; at = jinja.find(kHead, at + 1)) {
    std::string_view rest = jinja.substr(at + kHead.size());
    if (rest.substr(0, 1) == "\n") {
      rest.remove_prefix(1);
    } else if (rest.substr(0, 2) == "\\n") {
      rest.remove_prefix(2);
    } else {
      continue;
    }
    const size_t end = rest.find("<|im_end|>");
    if (end == std::string_view::npos || end == 0) continue;
    // An expression, not a text, stands between the marks where it leaves the string literal.
    const std::string_view text = rest.substr(0, end);
    if (text.find_first_of("'\"{}") == std::string_view::npos) return Unescape(text);
  }
  return std::nullopt;
}

std::optional<std::string> DefaultCoderSystem(std::string_view jinja) {
  const size_t begin = jinja.find("'You are an AI programming assistant");
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t end = jinja.find('\'', begin + 1);
  if (end == std::string_view::npos) return std::nullopt;
  return Unescape(jinja.substr(begin + 1, end - begin - 1));
}

std::string_view GlmPromptEnd(std::string_view jinja) {
  constexpr std::string_view kMark = "<|assistant|>";
  const size_t last = jinja.rfind(kMark);
  if (last == std::string_view::npos) return "\n";
  std::string_view behind = jinja.substr(last + kMark.size());
  bool breaks = behind.starts_with("\\n");  // in a string
  if (breaks) behind.remove_prefix(2);
  const size_t spaces = std::min(behind.find_first_not_of(" \n"), behind.size());
  const std::string_view next = behind.substr(spaces);
  // White space before "{%-" is not written.
  if (behind.starts_with("\n") && !next.starts_with("{%-") && !next.starts_with("{{-")) breaks = true;
  if (next.starts_with(kThinkMarks.begin)) return breaks ? "\n<think>" : "<think>";
  return breaks ? "\n" : "";
}

}  // namespace damask::tokenizer
