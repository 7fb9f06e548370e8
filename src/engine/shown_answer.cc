#include "engine/shown_answer.h"

#include <fmt/format.h>

namespace damask::engine {

ShownAnswer::ShownAnswer(std::optional<tokenizer::ChatFamily> family, tokenizer::Thoughts thoughts) {
  if (family && tokenizer::MarksThoughtsItsOwnWay(*family)) splitter_.emplace(*family, "", thoughts);
}

std::string ShownAnswer::Add(std::string_view text) { return splitter_ ? Show(splitter_->Add(text)) : std::string(text); }

std::string ShownAnswer::Finish() { return splitter_ ? Show(splitter_->Finish()) : std::string(); }

std::string ShownAnswer::Show(const tokenizer::ThoughtSplitter::Text& text) {
  std::string shown;
  if (!text.thoughts.empty()) {
    if (!thinking_) shown += fmt::format("{}\n", tokenizer::kThinkMarks.begin);
    thinking_ = true;
    shown += text.thoughts;
  }
  if (!text.answer.empty()) {
    if (thinking_) shown += fmt::format("\n{}\n\n", tokenizer::kThinkMarks.end);
    thinking_ = false;
    shown += text.answer;
  }
  return shown;
}

}  // namespace damask::engine
