// Texts that are read out of a template without running it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/chat_template.h"

namespace damask::tokenizer {

// The system message that a ChatML template writes where a conversation has none (Qwen); nothing where it writes none.
std::optional<std::string> DefaultChatMlSystem(std::string_view jinja);

// The same for DeepSeek Coder.
std::optional<std::string> DefaultCoderSystem(std::string_view jinja);

}  // namespace damask::tokenizer
