// An answer as a chat shows and remembers it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/thoughts.h"

namespace damask::engine {

// Writes the channels of gpt-oss and the marks of Seed-OSS as what other models that think aloud say:
// "<think>\n...\n</think>\n\n" before the answer. Other families' answers stay as they are.
class ShownAnswer {
 public:
  ShownAnswer(std::optional<tokenizer::ChatFamily> family, tokenizer::Thoughts thoughts);

  std::string Add(std::string_view text);
  std::string Finish();

 private:
  std::string Show(const tokenizer::ThoughtSplitter::Text& text);

  std::optional<tokenizer::ThoughtSplitter> splitter_;
  bool thinking_ = false;
};

}  // namespace damask::engine
