// Answers in channels, as gpt-oss gives them: "<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final
// <|message|>...". Source: OpenAI harmony response format (github.com/openai/harmony).
#pragma once

#include <string>
#include <string_view>

namespace damask::tokenizer {

inline constexpr std::string_view kChannelMark = "<|channel|>";
inline constexpr std::string_view kFinalChannel = "<|channel|>final<|message|>";

// What arrived of an answer.
struct SplitAnswer {
  std::string thoughts;
  std::string answer;
};

// Whether a text begins with a mark of this format.
bool BeginsInAChannel(std::string_view text);

// Tells what goes to the analysis channel (thoughts) from what goes to all others (the answer) while the text arrives. Marks
// are left out; messages of one kind are parted by an empty line. A text that begins with no mark is an answer.
// Texts, not tokens, are looked at: where an answer spells a mark, that is taken for one.
class ChannelSplitter {
 public:
  using Text = SplitAnswer;

  // `inside`: the prompt opened the answer's channel.
  explicit ChannelSplitter(bool inside) : place_(inside ? Place::kMessage : Place::kStart) {}

  Text Add(std::string_view text);
  // What was held back, at the end of the answer: half a mark in a message is part of it.
  Text Finish();

 private:
  enum class Place { kStart, kHeader, kMessage };

  bool ReadHeader();
  bool ReadMessage(Text* out);
  void Say(std::string_view text, Text* out);

  Place place_;
  bool analysis_ = false;
  bool began_ = false;  // something of this message has come out
  bool said_[2] = {};   // something has been said: answer, thoughts
  std::string held_;
};

}  // namespace damask::tokenizer
