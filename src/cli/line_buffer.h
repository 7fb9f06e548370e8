// A question in the making, as keys change it, and those that were asked before.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/key_decoder.h"

namespace damask::cli {

class LineBuffer {
 public:
  enum class Outcome { kGoesOn, kEntered, kEndOfInput };

  // Enter behind a backslash is a newline in its place. Ctrl-D ends the input where nothing stands there.
  Outcome Apply(const Key& key);

  // What was entered, without newlines at its end; the next question begins.
  std::string Take();

  const std::string& text() const { return text_; }
  size_t cursor() const { return cursor_; }  // in bytes, at the beginning of a character or at the end

 private:
  // The ends of what the cursor steps over: a character with the marks that are put on it, or a word.
  size_t CharacterBefore() const;
  size_t CharacterBehind() const;
  size_t WordBefore() const;
  size_t WordBehind() const;

  void Insert(const std::string& text);
  void Erase(size_t begin, size_t end);
  Outcome Enter();
  // The question that stands `index` places from the first in the history; behind the last is what was being written.
  void Recall(size_t index);

  std::string text_;
  size_t cursor_ = 0;
  std::vector<std::string> history_;
  size_t recalled_ = 0;  // history_.size(): none
  std::string draft_;    // what was being written when an older one was recalled
};

}  // namespace damask::cli
