// What a model that thinks aloud says before it answers ("<think>...</think>", or in a channel of its own), told apart from the
// answer while the text arrives.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "tokenizer/channels.h"
#include "tokenizer/chat_template.h"

namespace damask::tokenizer {

// How thoughts are marked.
struct ThinkMarks {
  std::string_view begin, end;
};
inline constexpr ThinkMarks kThinkMarks = {"<think>", "</think>"};
inline constexpr ThinkMarks kSeedThinkMarks = {"<seed:think>", "</seed:think>"};

// Whether a family marks thoughts in a way of its own, and not as <think>...</think>.
bool MarksThoughtsItsOwnWay(ChatFamily family);

// Whether models of this template may think aloud (Qwen 3, QwQ, DeepSeek R1, GLM-4.5, Seed-OSS, gpt-oss).
bool ThinksAloud(ChatFamily family, std::string_view jinja);

// What its prompts end with where they end inside of thoughts, so that an answer starts there: "<think>\n" (QwQ, DeepSeek
// R1) or "<think>" (OLMo 3 Think, GLM-Z1); empty: they do not.
std::string_view ThoughtsOpening(ChatFamily family, std::string_view jinja);

// Splits one answer with such marks. Thoughts stand at its beginning or nowhere. Both come without the marks, and without white
// space around the thoughts and before what follows them. Text is held back only while it may still be part of a mark or such
// white space.
class ThinkSplitter {
 public:
  using Text = SplitAnswer;

  // `inside`: the prompt began the thoughts.
  explicit ThinkSplitter(bool inside, const ThinkMarks& marks = kThinkMarks)
      : marks_(marks), place_(inside ? Place::kThoughts : Place::kStart) {}

  Text Add(std::string_view text);
  // What was held back, at the end of the answer.
  Text Finish();

 private:
  enum class Place { kStart, kThoughts, kBehind, kAnswer };

  void Start(Text* out);
  void Think(Text* out);

  ThinkMarks marks_;
  Place place_;
  bool thought_ = false;  // something of the thoughts has come out
  std::string held_;
};

// The splitter of a model's answers, by the marks that its family uses.
class ThoughtSplitter {
 public:
  using Text = SplitAnswer;

  // For a prompt that EncodeChat() made with these arguments.
  ThoughtSplitter(ChatFamily family, std::string_view jinja, Thoughts thoughts);

  Text Add(std::string_view text) {
    return std::visit([text](auto& splitter) { return splitter.Add(text); }, splitter_);
  }
  Text Finish() {
    return std::visit([](auto& splitter) { return splitter.Finish(); }, splitter_);
  }

 private:
  std::variant<ThinkSplitter, ChannelSplitter> splitter_;
};

// An earlier answer of a family with marks of its own (gpt-oss, Seed-OSS), with its thoughts in those or as <think>...</think>:
// what is left of it without them.
std::string WithoutThoughts(ChatFamily family, std::string_view said);

}  // namespace damask::tokenizer
