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

// What stands between the parts of an expression.
constexpr std::string_view kBetween = " +'\"]";

// A line break in an expression: one in a literal is spelled, or it is one. Indentation of the expression itself is none.
bool HasBreak(std::string_view expression) {
  return expression.find("\\n") != std::string_view::npos || expression.find('\n') != std::string_view::npos;
}

// Behind the expression that ends at `end`. White space behind "-}}" and before "{%-" is not written.
bool BreaksBehindExpression(std::string_view jinja, size_t end) {
  std::string_view behind = jinja.substr(end + 2);
  if (jinja[end - 1] == '-' || !behind.starts_with("\n")) return false;
  behind.remove_prefix(std::min(behind.find_first_not_of(" \n"), behind.size()));
  return !behind.starts_with("{%-") && !behind.starts_with("{{-");
}

}  // namespace

std::optional<TurnForm> FindTurnForm(std::string_view jinja, std::string_view mark) {
  constexpr std::string_view kContent = "content";
  for (size_t at = jinja.find(mark); at != std::string_view::npos; at = jinja.find(mark, at + 1)) {
    const size_t end = jinja.find("}}", at);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view expression = jinja.substr(at + mark.size(), end - at - mark.size());
    const size_t content = expression.find(kContent);
    // A block between them: not the same expression.
    if (content == std::string_view::npos || expression.find("%}") != std::string_view::npos) continue;
    TurnForm form = {.breaks_before = HasBreak(expression.substr(0, content)),
                     .behind = expression.substr(content + kContent.size())};
    form.breaks_behind = HasBreak(form.behind) || BreaksBehindExpression(jinja, end);
    return form;
  }
  return std::nullopt;
}

bool BreaksBehindLast(std::string_view jinja, std::string_view mark) {
  const size_t last = jinja.rfind(mark);
  if (last == std::string_view::npos) return false;
  std::string_view behind = jinja.substr(last + mark.size());
  behind.remove_prefix(std::min(behind.find_first_not_of(kBetween), behind.size()));
  if (behind.starts_with("\\n") || behind.starts_with("\n")) return true;
  const size_t end = jinja.size() - behind.size();
  return behind.starts_with("}}") && BreaksBehindExpression(jinja, end);
}

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
