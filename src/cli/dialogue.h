// What has been said in a chat, and the prompt that follows from it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "tokenizer/chat_template.h"

namespace damask::cli {

class Dialogue {
 public:
  // The document stands before the first question and survives Reset().
  Dialogue(engine::ChatForm form, tokenizer::Thoughts thoughts, std::string system, std::string document)
      : form_(form), thoughts_(thoughts), system_(std::move(system)), document_(std::move(document)) {}

  void AddQuestion(std::string text) { messages_.push_back({"user", std::move(text)}); }
  void AddAnswer(std::string text) { messages_.push_back({"assistant", std::move(text)}); }
  void DropLast() { messages_.pop_back(); }
  void Reset() { messages_.clear(); }

  // Ends with a question.
  Result<std::vector<engine::TokenId>> Encode(const tokenizer::Tokenizer& tokenizer) const;
  // Of that prompt: the tokens of the last question and what stands behind it (engine::TurnTokens).
  Result<size_t> TurnTokens(const tokenizer::Tokenizer& tokenizer) const;
  // What ends an answer besides the model's own tokens; empty where there is a template.
  std::vector<std::string> StopStrings() const;
  std::optional<tokenizer::ChatFamily> family() const { return form_.family; }
  tokenizer::Thoughts thoughts() const { return thoughts_; }
  // As said, without system message and document.
  const std::vector<tokenizer::ChatMessage>& messages() const { return messages_; }

 private:
  std::string PlainText() const;

  engine::ChatForm form_;
  tokenizer::Thoughts thoughts_;
  std::string system_;
  std::string document_;
  std::vector<tokenizer::ChatMessage> messages_;
};

}  // namespace damask::cli
