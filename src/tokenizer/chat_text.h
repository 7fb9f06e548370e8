// What is read out of a template without running it, and what its messages are called.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/chat_template.h"

namespace damask::tokenizer {

// Roles of messages.
inline constexpr std::string_view kSystem = "system", kUser = "user", kAssistant = "assistant";

inline bool HasMark(std::string_view jinja, std::string_view mark) { return jinja.find(mark) != std::string_view::npos; }

// The system message that a ChatML template writes where a conversation has none (Qwen); nothing where it writes none.
std::optional<std::string> DefaultChatMlSystem(std::string_view jinja);

// The same for DeepSeek Coder.
std::optional<std::string> DefaultCoderSystem(std::string_view jinja);

// What a template of GLM-4's family writes behind its last "<|assistant|>": nothing, a line break, "<think>" or both.
std::string_view GlmPromptEnd(std::string_view jinja);

// How a template writes the turns of one role: in an expression `'MARK' + message['content'] + BEHIND`.
struct TurnForm {
  bool breaks_before = false;  // a line break between mark and content
  std::string_view behind;     // as it stands in the expression, behind the content
  bool breaks_behind = false;  // a line break there, or behind the expression
};
// Of the first expression that has `mark` and, behind it, the content of a message; nothing where there is none.
std::optional<TurnForm> FindTurnForm(std::string_view jinja, std::string_view mark);

// Whether a line break follows the last `mark` of a template: in its literal, as one of its own, or behind its expression.
bool BreaksBehindLast(std::string_view jinja, std::string_view mark);

}  // namespace damask::tokenizer
