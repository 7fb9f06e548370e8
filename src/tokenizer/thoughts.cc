#include "tokenizer/thoughts.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/text_tail.h"
#include "tokenizer/chat_text.h"

namespace damask::tokenizer {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

std::variant<ThinkSplitter, ChannelSplitter> SplitterOf(ChatFamily family, std::string_view jinja, Thoughts thoughts) {
  if (family == ChatFamily::kGptOss) return ChannelSplitter(thoughts == Thoughts::kNone);
  // Seed-OSS thinks about not thinking.
  if (family == ChatFamily::kSeedOss) return ThinkSplitter(thoughts == Thoughts::kNone, kSeedThinkMarks);
  return ThinkSplitter(thoughts != Thoughts::kNone && !ThoughtsOpening(family, jinja).empty());
}

}  // namespace

bool MarksThoughtsItsOwnWay(ChatFamily family) { return family == ChatFamily::kGptOss || family == ChatFamily::kSeedOss; }

bool ThinksAloud(ChatFamily family, std::string_view jinja) {
  return MarksThoughtsItsOwnWay(family) || jinja.find(kThinkMarks.end) != std::string_view::npos;
}

std::string_view ThoughtsOpening(ChatFamily family, std::string_view jinja) {
  std::string_view turn;
  switch (family) {
    case ChatFamily::kChatMl:
    case ChatFamily::kQwen: turn = "<|im_start|>assistant\\n"; break;
    case ChatFamily::kDeepSeekV3: turn = "<｜Assistant｜>"; break;
    case ChatFamily::kGlm4: return GlmPromptEnd(jinja).ends_with(kThinkMarks.begin) ? kThinkMarks.begin : "";
    default: return {};
  }
  const auto has = [&](std::string_view behind) { return HasMark(jinja, std::string(turn).append(behind)); };
  if (has("<think>\\n")) return "<think>\n";
  return has("<think>'") || has("<think>\"") ? kThinkMarks.begin : "";
}

// Thoughts begin with their mark, at most white space before it.
void ThinkSplitter::Start(Text* out) {
  const size_t begin = std::min(held_.find_first_not_of(kSpaces), held_.size());
  const std::string_view said = std::string_view(held_).substr(begin);
  if (said.starts_with(marks_.begin)) {
    held_.erase(0, begin + marks_.begin.size());
    place_ = Place::kThoughts;
  } else if (!marks_.begin.starts_with(said)) {
    out->answer = std::move(held_);
    held_.clear();
    place_ = Place::kAnswer;
  }
}

void ThinkSplitter::Think(Text* out) {
  const size_t end = held_.find(marks_.end);
  std::string_view thoughts = std::string_view(held_).substr(0, end);
  if (end == std::string::npos) thoughts.remove_suffix(TailThatMayBegin(thoughts, marks_.end));
  thoughts = thoughts.substr(0, thoughts.find_last_not_of(kSpaces) + 1);
  const size_t used = thoughts.size();
  if (!thought_) thoughts.remove_prefix(std::min(thoughts.find_first_not_of(kSpaces), thoughts.size()));
  thought_ = thought_ || !thoughts.empty();
  out->thoughts += thoughts;
  held_.erase(0, end == std::string::npos ? used : end + marks_.end.size());
  if (end != std::string::npos) place_ = Place::kBehind;
}

ThinkSplitter::Text ThinkSplitter::Add(std::string_view text) {
  Text out;
  if (place_ == Place::kAnswer) {
    out.answer = text;
    return out;
  }
  held_ += text;
  if (place_ == Place::kStart) Start(&out);
  if (place_ == Place::kThoughts) Think(&out);
  if (place_ == Place::kBehind) {
    held_.erase(0, held_.find_first_not_of(kSpaces));
    if (held_.empty()) return out;
    out.answer = std::move(held_);
    held_.clear();
    place_ = Place::kAnswer;
  }
  return out;
}

ThinkSplitter::Text ThinkSplitter::Finish() {
  Text out;
  const std::string held = std::exchange(held_, {});
  // White space at the end of thoughts that were cut off is no part of them; half a mark is.
  if (place_ == Place::kStart) out.answer = held;
  if (place_ == Place::kThoughts && held.find_first_not_of(kSpaces) != std::string::npos) out.thoughts = held;
  place_ = Place::kAnswer;
  return out;
}

ThoughtSplitter::ThoughtSplitter(ChatFamily family, std::string_view jinja, Thoughts thoughts)
    : splitter_(SplitterOf(family, jinja, thoughts)) {}

std::string WithoutThoughts(ChatFamily family, std::string_view said) {
  const auto answer_of = [said](auto splitter) {
    const std::string answer = splitter.Add(said).answer;
    return answer + splitter.Finish().answer;
  };
  if (family == ChatFamily::kGptOss && BeginsInAChannel(said)) return answer_of(ChannelSplitter(false));
  const size_t begin = std::min(said.find_first_not_of(kSpaces), said.size());
  const bool of_seed = family == ChatFamily::kSeedOss && !said.substr(begin).starts_with(kThinkMarks.begin);
  return answer_of(of_seed ? ThinkSplitter(false, kSeedThinkMarks) : ThinkSplitter(false));
}

}  // namespace damask::tokenizer
