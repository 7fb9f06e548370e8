// A conversation in the form of each family of templates.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/chat_template.h"

namespace damask::tokenizer {

// RenderChat() of messages that have been checked and are to be rendered as they are.
std::vector<ChatPart> RenderConversation(ChatFamily family, std::string_view jinja, const ChatMarks& marks,
                                         std::span<const ChatMessage> messages, Thoughts thoughts, LastTurn last);

}  // namespace damask::tokenizer
