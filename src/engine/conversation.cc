#include "engine/conversation.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"

namespace damask::engine {
namespace {

// The first line of a template is enough to recognise it by.
std::string TemplateHint(const std::string& jinja) { return Quote(jinja.substr(0, jinja.find('\n')), 60); }

Result<std::vector<TokenId>> EncodeAsChat(const Engine& engine, tokenizer::ChatFamily family, const PromptInput& input) {
  std::vector<tokenizer::ChatMessage> messages;
  if (!input.system.empty()) messages.push_back({"system", input.system});
  messages.push_back({"user", input.text});
  return tokenizer::EncodeChat(engine.tokenizer(), family, messages, input.thoughts);
}

// A turn of more bytes is longer than an instruction may be: nothing of it is encoded to see that.
constexpr size_t kMostTurnBytes = 8192;

// The prompt's tokens from the turn's first on: those that are others, or are not there, when the turn is empty.
Result<size_t> CountTurn(const tokenizer::Tokenizer& tokenizer, const ChatForm& form, std::string_view turn,
                         tokenizer::Thoughts thoughts) {
  if (!form.family) {
    const char* const behind = form.plain == PlainForm::kLines ? "\n" : "\nAssistant:";
    DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                            tokenizer.Encode(std::string(turn) + behind, tokenizer::Special::kPlain));
    return ids.size();
  }
  const std::vector<tokenizer::ChatMessage> with = {{"user", std::string(turn)}};
  const std::vector<tokenizer::ChatMessage> without = {{"user", ""}};
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer::EncodeChat(tokenizer, *form.family, with, thoughts));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> empty, tokenizer::EncodeChat(tokenizer, *form.family, without, thoughts));
  return static_cast<size_t>(ids.end() - std::mismatch(ids.begin(), ids.end(), empty.begin(), empty.end()).first);
}

std::string_view LastParagraph(std::string_view text) {
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  for (const std::string_view border : {"\n\n", "\n"}) {
    if (const size_t at = text.rfind(border); at != std::string_view::npos) return text.substr(at + border.size());
  }
  return text;
}

std::string WithNewline(std::string text) { return text.ends_with('\n') ? text : text + "\n"; }

// A text that goes on line by line: an answer keeps its line though it says nothing, as the next question is not its answer.
std::string LinesText(std::span<const tokenizer::ChatMessage> messages) {
  std::string text;
  for (const tokenizer::ChatMessage& message : messages) {
    if (!message.content.empty() || message.role == "assistant") text += WithNewline(message.content);
  }
  return text;
}

std::string BehindSpace(const std::string& answer) {
  const bool spaced = answer.empty() || answer[0] == ' ' || answer[0] == '\n';
  return spaced ? answer : " " + answer;
}

std::string SpeakersText(std::span<const tokenizer::ChatMessage> messages) {
  std::string text;
  for (const tokenizer::ChatMessage& message : messages) {
    const std::string& content = message.content;
    if (message.role == "user") {
      text += "User: " + content + "\n";
    } else if (message.role == "assistant") {
      text += "Assistant:" + BehindSpace(content) + "\n";
    } else if (!content.empty()) {
      text += content + "\n\n";
    }
  }
  return text + "Assistant:";
}

// Of UTF-8: the first character that begins at `at` or behind.
size_t NextCharacter(std::string_view text, size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

std::optional<tokenizer::ChatFamily> ModelChatFamily(const Engine& engine) {
  if (engine.given_chat_family()) return engine.given_chat_family();
  return tokenizer::DetectChatFamily(engine.tokenizer().chat_template());
}

std::string WhyPlainChat(const Engine& engine) {
  if (ModelChatFamily(engine)) return {};
  const std::string& jinja = engine.tokenizer().chat_template();
  if (jinja.empty()) return "the model has no chat template";
  return fmt::format("the model's chat template {} is of no known family", TemplateHint(jinja));
}

ChatForm ModelChatForm(const Engine& engine) {
  return {ModelChatFamily(engine), engine.embedded() ? PlainForm::kLines : PlainForm::kSpeakers};
}

std::string PlainChatText(PlainForm form, std::span<const tokenizer::ChatMessage> messages, tokenizer::LastTurn last) {
  const bool lines = form == PlainForm::kLines;
  if (last == tokenizer::LastTurn::kAnswered || messages.empty()) return lines ? LinesText(messages) : SpeakersText(messages);
  const std::string& begun = messages.back().content;
  const std::string asked = PlainChatText(form, messages.first(messages.size() - 1));
  return asked + (lines ? begun : BehindSpace(begun));
}

// An answer of the embedded model is a line. One of speakers ends where the user's next turn would begin.
std::vector<std::string> PlainChatStops(PlainForm form) { return {form == PlainForm::kLines ? "\n" : "\nUser:"}; }

Result<std::vector<TokenId>> EncodePromptInput(const Engine& engine, const PromptInput& input) {
  if (input.text.empty()) return InvalidArgument("the prompt is empty");
  const std::string& jinja = engine.tokenizer().chat_template();
  const std::optional<tokenizer::ChatFamily> family = ModelChatFamily(engine);
  if (input.style != PromptStyle::kRaw && family) return EncodeAsChat(engine, *family, input);
  if (input.style == PromptStyle::kChat) {
    if (jinja.empty()) return InvalidArgument("--chat: the model has no chat template");
    return Unsupported(fmt::format("--chat: the model's chat template {} is of no known family", TemplateHint(jinja)));
  }
  if (input.style == PromptStyle::kAuto && !jinja.empty()) {
    LogWarning(fmt::format("the model's chat template {} is of no known family: plain text is used", TemplateHint(jinja)));
  }
  const std::string text = input.system.empty() ? input.text : input.system + "\n\n" + input.text;
  return tokenizer::EncodePrompt(engine.tokenizer(), text, tokenizer::Special::kParse);
}

Result<size_t> TurnTokens(const tokenizer::Tokenizer& tokenizer, ChatForm form, std::string_view turn,
                          tokenizer::Thoughts thoughts) {
  if (turn.size() <= kMostTurnBytes) {
    DAMASK_ASSIGN_OR_RETURN(const size_t tokens, CountTurn(tokenizer, form, turn, thoughts));
    if (tokens <= policies::kMaxInstructionTokens) return tokens;
  }
  std::string_view end = LastParagraph(turn);
  if (end.size() > kMostTurnBytes) end = end.substr(NextCharacter(end, end.size() - kMostTurnBytes));
  DAMASK_ASSIGN_OR_RETURN(const size_t tokens, CountTurn(tokenizer, form, end, thoughts));
  return std::min(tokens, policies::kMaxInstructionTokens);
}

size_t ReusePrefix(Session* session, std::span<const TokenId> prompt) {
  if (prompt.empty()) return 0;
  const std::vector<TokenId>& held = session->tokens();
  const size_t limit = std::min<size_t>({held.size(), session->length(), prompt.size() - 1});
  const size_t shared = static_cast<size_t>(
      std::mismatch(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(limit), prompt.begin()).first - held.begin());
  session->Truncate(shared);
  return static_cast<size_t>(session->length());
}

}  // namespace damask::engine
