// Chat templates of the known families, recognised by what their Jinja text contains (as llama.cpp does), and rendered by us:
// no Jinja is executed, so a template cannot loop, raise or read anything.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace damask::tokenizer {

enum class ChatFamily { kLlama2, kLlama3, kChatMl, kMistral, kQwen, kDeepSeek, kDamask };

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// Recognises a template; nullopt for an empty or an unknown one.
std::optional<ChatFamily> DetectChatFamily(std::string_view jinja);

std::string_view ChatFamilyName(ChatFamily family);

// The prompt of a conversation, ready for the model's next answer, with BOS where the family has one. Only the template's own
// marks become control tokens: whatever a message contains is encoded as plain text.
// Errors: an unknown role or an order the family cannot express is InvalidArgument naming the message.
Result<std::vector<TokenId>> EncodeChat(const Tokenizer& tokenizer, ChatFamily family, std::span<const ChatMessage> messages);

}  // namespace damask::tokenizer
