// Turns what a user gives (a prompt, a chat, a document and questions) into token ids, by the rules of the model's own file.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "tokenizer/chat_template.h"

namespace damask::engine {

enum class PromptStyle {
  kAuto,  // chat when the file has a template we know, else raw; an unknown template is named in a warning
  kChat,
  kRaw,
};

struct PromptInput {
  std::string text;
  std::string system;  // only for chat
  PromptStyle style = PromptStyle::kAuto;
  tokenizer::Thoughts thoughts = tokenizer::Thoughts::kAsTheModel;  // only for chat
};

// The family that the engine was given, else that of the model's template, if it has one that is known.
std::optional<tokenizer::ChatFamily> ModelChatFamily(const Engine& engine);

// Why a chat with this model is plain text: it has no template, or one of no known family, which is named. "" where it is not.
std::string WhyPlainChat(const Engine& engine);

// How a conversation looks to a model without a known template.
enum class PlainForm {
  kSpeakers,  // lines that begin with "User:" and "Assistant:"
  kLines,     // the text, then a question a line and its answer in the next: what the embedded model was trained on
};

// How a model is talked to.
struct ChatForm {
  std::optional<tokenizer::ChatFamily> family;
  PlainForm plain = PlainForm::kSpeakers;  // where there is no family
};
ChatForm ModelChatForm(const Engine& engine);

// The prompt of a conversation without a template, ready for the next answer: what the system says first. With speakers an
// answer stands behind the space that the model wrote, or one is put there. Of an answer that is continued its end is left out.
std::string PlainChatText(PlainForm form, std::span<const tokenizer::ChatMessage> messages,
                          tokenizer::LastTurn last = tokenizer::LastTurn::kAnswered);
// What ends an answer to it besides the model's own tokens.
std::vector<std::string> PlainChatStops(PlainForm form);

// Errors: kChat for a model without a known template; an empty prompt (no tokens at all) is InvalidArgument.
Result<std::vector<TokenId>> EncodePromptInput(const Engine& engine, const PromptInput& input);

// How many last tokens of a chat's prompt are its last user turn, with what the template (or the plain form) puts behind it; at
// most policies::kMaxInstructionTokens. Of a longer turn what stands behind its last empty line, else its last line: a question
// behind a text.
Result<size_t> TurnTokens(const tokenizer::Tokenizer& tokenizer, ChatForm form, std::string_view turn,
                          tokenizer::Thoughts thoughts = tokenizer::Thoughts::kAsTheModel);

// The first tokens of `prompt` that `session` already holds, so that only the rest is appended; truncates the session to them.
// At least one token is left to append.
size_t ReusePrefix(Session* session, std::span<const TokenId> prompt);

}  // namespace damask::engine
