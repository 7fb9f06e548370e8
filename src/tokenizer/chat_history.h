// What stays of the earlier answers of a model that thinks aloud.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/chat_template.h"

namespace damask::tokenizer {

// The conversation without the thoughts that the template leaves out; nothing where it leaves out none.
std::optional<std::vector<ChatMessage>> WithoutEarlierThoughts(ChatFamily family, std::string_view jinja,
                                                               std::span<const ChatMessage> messages);

}  // namespace damask::tokenizer
