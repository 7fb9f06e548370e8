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
  return tokenizer::EncodeChat(engine.tokenizer(), family, messages);
}

}  // namespace

std::optional<tokenizer::ChatFamily> ModelChatFamily(const Engine& engine) {
  return tokenizer::DetectChatFamily(engine.tokenizer().chat_template());
}

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
