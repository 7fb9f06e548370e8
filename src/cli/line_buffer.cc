#include "cli/line_buffer.h"

#include <algorithm>
#include <utility>

#include "cli/line_view.h"

namespace damask::cli {

size_t LineBuffer::CharacterBefore() const {
  size_t at = cursor_;
  while (at > 0) {
    do --at;
    while (at > 0 && (static_cast<unsigned char>(text_[at]) & 0xc0) == 0x80);
    if (CharacterWidth(std::string_view(text_).substr(at)) > 0) break;
  }
  return at;
}

size_t LineBuffer::CharacterBehind() const {
  size_t at = cursor_;
  while (at < text_.size()) {
    at += CharacterBytes(std::string_view(text_).substr(at));
    if (at == text_.size() || CharacterWidth(std::string_view(text_).substr(at)) > 0) break;
  }
  return at;
}

namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n'; }

}  // namespace

size_t LineBuffer::WordBefore() const {
  size_t at = cursor_;
  while (at > 0 && IsSpace(text_[at - 1])) --at;
  while (at > 0 && !IsSpace(text_[at - 1])) --at;
  return at;
}

size_t LineBuffer::WordBehind() const {
  size_t at = cursor_;
  while (at < text_.size() && IsSpace(text_[at])) ++at;
  while (at < text_.size() && !IsSpace(text_[at])) ++at;
  return at;
}

void LineBuffer::Insert(const std::string& text) {
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

void LineBuffer::Erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

LineBuffer::Outcome LineBuffer::Enter() {
  cursor_ = text_.size();
  if (!text_.ends_with('\\')) return Outcome::kEntered;
  text_.back() = '\n';
  return Outcome::kGoesOn;
}

void LineBuffer::Recall(size_t index) {
  if (recalled_ == history_.size()) draft_ = text_;
  recalled_ = index;
  text_ = index == history_.size() ? draft_ : history_[index];
  cursor_ = text_.size();
}

LineBuffer::Outcome LineBuffer::Apply(const Key& key) {
  switch (key.code) {
    case KeyCode::kText: Insert(key.text); break;
    case KeyCode::kNewline: Insert("\n"); break;
    case KeyCode::kEnter: return Enter();
    case KeyCode::kBackspace: Erase(CharacterBefore(), cursor_); break;
    case KeyCode::kDelete: Erase(cursor_, CharacterBehind()); break;
    case KeyCode::kLeft: cursor_ = CharacterBefore(); break;
    case KeyCode::kRight: cursor_ = CharacterBehind(); break;
    case KeyCode::kWordLeft: cursor_ = WordBefore(); break;
    case KeyCode::kWordRight: cursor_ = WordBehind(); break;
    case KeyCode::kHome: cursor_ = 0; break;
    case KeyCode::kEnd: cursor_ = text_.size(); break;
    case KeyCode::kCutBefore: Erase(0, cursor_); break;
    case KeyCode::kCutBehind: Erase(cursor_, text_.size()); break;
    case KeyCode::kCutWord: Erase(WordBefore(), cursor_); break;
    case KeyCode::kUp:
      if (recalled_ > 0) Recall(recalled_ - 1);
      break;
    case KeyCode::kDown:
      if (recalled_ < history_.size()) Recall(recalled_ + 1);
      break;
    case KeyCode::kEndOfInput:
      if (text_.empty()) return Outcome::kEndOfInput;
      Erase(cursor_, CharacterBehind());
      break;
    case KeyCode::kClearScreen: break;  // of the screen only
  }
  return Outcome::kGoesOn;
}

std::string LineBuffer::Take() {
  std::string text = std::exchange(text_, {});
  while (text.ends_with('\n')) text.pop_back();
  if (!text.empty() && (history_.empty() || history_.back() != text)) history_.push_back(text);
  recalled_ = history_.size();
  draft_.clear();
  cursor_ = 0;
  return text;
}

}  // namespace damask::cli
