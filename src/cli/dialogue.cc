#include "cli/dialogue.h"

namespace damask::cli {

std::string Dialogue::PlainText() const {
  std::vector<tokenizer::ChatMessage> messages = {{"system", system_}, {"system", document_}};
  messages.insert(messages.end(), messages_.begin(), messages_.end());
  return engine::PlainChatText(form_.plain, messages);
}

Result<std::vector<engine::TokenId>> Dialogue::Encode(const tokenizer::Tokenizer& tokenizer) const {
  if (!family()) return tokenizer::EncodePrompt(tokenizer, PlainText(), tokenizer::Special::kPlain);
  std::vector<tokenizer::ChatMessage> messages = messages_;
  // The document leads, so that it stays in the cache whatever is asked.
  if (!document_.empty() && !messages.empty()) messages[0].content = document_ + "\n" + messages[0].content;
  if (!system_.empty()) messages.insert(messages.begin(), {"system", system_});
  return tokenizer::EncodeChat(tokenizer, *family(), messages, thoughts_);
}

Result<size_t> Dialogue::TurnTokens(const tokenizer::Tokenizer& tokenizer) const {
  return engine::TurnTokens(tokenizer, form_, messages_.back().content, thoughts_);
}

std::vector<std::string> Dialogue::StopStrings() const {
  return family() ? std::vector<std::string>() : engine::PlainChatStops(form_.plain);
}

}  // namespace damask::cli
