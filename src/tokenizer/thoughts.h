// What a model that thinks aloud says before it answers ("<think>...</think>"), told apart from the answer while the text
// arrives.
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/chat_template.h"

namespace damask::tokenizer {

inline constexpr std::string_view kThoughtsBegin = "<think>";
inline constexpr std::string_view kThoughtsEnd = "</think>";

// Whether models of this template may think aloud (Qwen 3, QwQ, DeepSeek R1): it knows the end of thoughts.
bool ThinksAloud(std::string_view jinja);

// Whether its prompts end inside of thoughts, so that an answer starts there (QwQ, DeepSeek R1).
bool PromptBeginsThoughts(ChatFamily family, std::string_view jinja);

// Splits one answer. Thoughts stand at its beginning or nowhere. Both come without the marks, and without white space around
// the thoughts and before what follows them. Text is held back only while it may still be part of a mark or such white space.
class ThoughtSplitter {
 public:
  struct Text {
    std::string thoughts;
    std::string answer;
  };

  // `inside`: the prompt began the thoughts.
  explicit ThoughtSplitter(bool inside) : place_(inside ? Place::kThoughts : Place::kStart) {}

  Text Add(std::string_view text);
  // What was held back, at the end of the answer.
  Text Finish();

 private:
  enum class Place { kStart, kThoughts, kBehind, kAnswer };

  void Start(Text* out);
  void Think(Text* out);

  Place place_;
  bool thought_ = false;  // something of the thoughts has come out
  std::string held_;
};

}  // namespace damask::tokenizer
