#include "tokenizer/channels.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text_tail.h"

namespace damask::tokenizer {
namespace {

constexpr std::string_view kMessageMark = "<|message|>", kEndMark = "<|end|>", kStartMark = "<|start|>";
// What an answer begins with.
constexpr std::string_view kFirstMarks[] = {kChannelMark, kMessageMark, " to="};

// Whether one is the beginning of the other.
bool MayBegin(std::string_view text, std::string_view mark) { return text.starts_with(mark) || mark.starts_with(text); }

}  // namespace

bool BeginsInAChannel(std::string_view text) {
  return std::any_of(std::begin(kFirstMarks), std::end(kFirstMarks),
                     [text](std::string_view mark) { return text.starts_with(mark); });
}

void ChannelSplitter::Say(std::string_view text, Text* out) {
  if (text.empty()) return;
  std::string& to = analysis_ ? out->thoughts : out->answer;
  bool& said = said_[analysis_ ? 1 : 0];
  if (!began_ && said) to += "\n\n";
  began_ = said = true;
  to += text;
}

// A header ends where its message begins; false where the text ends before that.
bool ChannelSplitter::ReadHeader() {
  const size_t end = held_.find(kMessageMark);
  if (end == std::string::npos) return false;
  const std::string_view header = std::string_view(held_).substr(0, end);
  const size_t channel = header.find(kChannelMark);
  analysis_ = channel != std::string_view::npos && header.substr(channel + kChannelMark.size()).starts_with("analysis");
  held_.erase(0, end + kMessageMark.size());
  began_ = false;
  place_ = Place::kMessage;
  return true;
}

// Says what is there of a message; false where the text ends before the message does.
bool ChannelSplitter::ReadMessage(Text* out) {
  size_t end = std::string::npos;
  size_t keep = 0;
  for (const std::string_view mark : {kEndMark, kStartMark, kChannelMark}) {
    end = std::min(end, held_.find(mark));
    keep = std::max(keep, TailThatMayBegin(held_, mark));
  }
  const std::string_view held = held_;
  Say(end != std::string::npos ? held.substr(0, end) : held.substr(0, held.size() - keep), out);
  if (end == std::string::npos) {
    held_.erase(0, held_.size() - keep);
    return false;
  }
  held_.erase(0, end);
  place_ = Place::kHeader;
  return true;
}

ChannelSplitter::Text ChannelSplitter::Add(std::string_view text) {
  Text out;
  held_ += text;
  if (place_ == Place::kStart) {
    if (held_.empty()) return out;
    const bool header = std::any_of(std::begin(kFirstMarks), std::end(kFirstMarks),
                                    [this](std::string_view mark) { return MayBegin(held_, mark); });
    place_ = header ? Place::kStart : Place::kMessage;
    if (header && held_.size() >= kChannelMark.size()) place_ = Place::kHeader;
  }
  while (place_ == Place::kHeader ? ReadHeader() : place_ == Place::kMessage && ReadMessage(&out)) {
  }
  return out;
}

ChannelSplitter::Text ChannelSplitter::Finish() {
  Text out;
  const std::string held = std::exchange(held_, {});
  if (place_ != Place::kHeader) Say(held, &out);
  return out;
}

}  // namespace damask::tokenizer
