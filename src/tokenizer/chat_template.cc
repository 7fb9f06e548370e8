#include "tokenizer/chat_template.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "tokenizer/chat_history.h"
#include "tokenizer/chat_renderer.h"
#include "tokenizer/chat_text.h"

namespace damask::tokenizer {
namespace {

bool TakesTurns(ChatFamily family) {
  switch (family) {
    case ChatFamily::kLlama2:
    case ChatFamily::kMistralV1:
    case ChatFamily::kMistralV3:
    case ChatFamily::kMistralV3Tekken:
    case ChatFamily::kMistralV7:
    case ChatFamily::kMistralV7Tekken:
    case ChatFamily::kGemma: return true;
    default: return false;
  }
}

// Of an answer that has begun.
Status CheckContinued(const ChatMessage& message) {
  if (message.role != kAssistant)
    return InvalidArgument(
        fmt::format("the last message has the role '{}': only one of 'assistant' is continued", message.role));
  if (message.content.find_first_not_of(" \t\n\v\f\r") != std::string::npos) return {};
  return InvalidArgument("the last message says nothing that could be continued");
}

Status CheckMessages(ChatFamily family, std::span<const ChatMessage> messages, LastTurn last) {
  if (messages.empty()) return InvalidArgument("a conversation without messages cannot be answered");
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != kSystem && role != kUser && role != kAssistant) {
      return InvalidArgument(
          fmt::format("message {} has the role {}, expected 'system', 'user' or 'assistant'", i + 1, Quote(role)));
    }
  }
  if (!TakesTurns(family)) return {};
  const size_t first = messages[0].role == kSystem ? 1 : 0;
  for (size_t i = first; i < messages.size(); ++i) {
    const std::string_view expected = (i - first) % 2 == 0 ? kUser : kAssistant;
    if (messages[i].role != expected) {
      return InvalidArgument(
          fmt::format("message {} has the role '{}', but the template {} takes an optional system message and then "
                      "user and assistant in turn: expected '{}'",
                      i + 1, messages[i].role, ChatFamilyName(family), expected));
    }
  }
  if (last == LastTurn::kAnswered && messages.back().role != kUser) {
    return InvalidArgument(
        fmt::format("message {} is the last and has the role '{}', but the template {} answers user messages only",
                    messages.size(), messages.back().role, ChatFamilyName(family)));
  }
  return {};
}

bool StartsWithBos(const Tokenizer& tokenizer, ChatFamily family) {
  if (!tokenizer.special().bos) return false;
  const bool by_template = family == ChatFamily::kChatMl || family == ChatFamily::kQwen || family == ChatFamily::kPhi3 ||
                           family == ChatFamily::kPhi4 || family == ChatFamily::kGranite || family == ChatFamily::kGptOss ||
                           family == ChatFamily::kGlm4 || family == ChatFamily::kSeedOss || family == ChatFamily::kZephyr ||
                           family == ChatFamily::kFalcon3;
  return tokenizer.special().add_bos || !by_template || HasMark(TemplateOf(tokenizer, family), "bos_token");
}

}  // namespace

std::optional<Thoughts> ParseReasoningEffort(std::string_view name) {
  if (name == "none") return Thoughts::kNone;
  if (name == "minimal" || name == "low") return Thoughts::kLow;
  if (name == "medium") return Thoughts::kAsTheModel;
  return name == "high" || name == "xhigh" ? std::optional(Thoughts::kHigh) : std::nullopt;
}

std::string_view TemplateOf(const Tokenizer& tokenizer, ChatFamily family) {
  const std::string_view jinja = tokenizer.chat_template();
  return DetectChatFamily(jinja) == family ? jinja : std::string_view();
}

Result<std::vector<ChatPart>> RenderChat(ChatFamily family, std::string_view jinja, const ChatMarks& marks,
                                         std::span<const ChatMessage> messages, Thoughts thoughts, LastTurn last) {
  DAMASK_RETURN_IF_ERROR(CheckMessages(family, messages, last));
  const std::optional<std::vector<ChatMessage>> kept = WithoutEarlierThoughts(family, jinja, messages);
  const std::span<const ChatMessage> said = kept ? std::span<const ChatMessage>(*kept) : messages;
  if (last == LastTurn::kContinued) DAMASK_RETURN_IF_ERROR(CheckContinued(said.back()));
  return RenderConversation(family, jinja, marks, said, thoughts, last);
}

namespace {

Result<std::vector<ChatPart>> Rendered(const Tokenizer& tokenizer, ChatFamily family, std::span<const ChatMessage> messages,
                                       Thoughts thoughts, LastTurn last) {
  const SpecialTokens& special = tokenizer.special();
  ChatMarks marks;
  if (special.bos) marks.bos = tokenizer.Piece(*special.bos, /*show_special=*/true);
  if (special.eos) marks.eos = tokenizer.Piece(*special.eos, /*show_special=*/true);
  return RenderChat(family, TemplateOf(tokenizer, family), marks, messages, thoughts, last);
}

}  // namespace

Result<std::string> ChatText(const Tokenizer& tokenizer, ChatFamily family, std::span<const ChatMessage> messages,
                             Thoughts thoughts, LastTurn last) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<ChatPart> rendered, Rendered(tokenizer, family, messages, thoughts, last));
  std::string text;
  for (const ChatPart& part : rendered) text += part.text;
  return text;
}

Result<std::vector<TokenId>> EncodeChat(const Tokenizer& tokenizer, ChatFamily family, std::span<const ChatMessage> messages,
                                        Thoughts thoughts, LastTurn last) {
  const SpecialTokens& special = tokenizer.special();
  DAMASK_ASSIGN_OR_RETURN(const std::vector<ChatPart> rendered, Rendered(tokenizer, family, messages, thoughts, last));
  std::vector<TextPart> parts;
  parts.reserve(rendered.size());
  for (const ChatPart& part : rendered) parts.push_back({part.text, part.special});
  DAMASK_ASSIGN_OR_RETURN(std::vector<TokenId> ids, tokenizer.EncodeParts(parts));
  const bool has_bos = !ids.empty() && ids.front() == special.bos;  // some templates write it themselves
  if (StartsWithBos(tokenizer, family) && !has_bos) ids.insert(ids.begin(), *special.bos);
  return ids;
}

}  // namespace damask::tokenizer