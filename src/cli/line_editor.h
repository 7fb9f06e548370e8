// A line that is edited in the terminal: a question of any length, of several lines where it was pasted, with those that were
// asked before at the arrow keys. What keys do is in line_buffer.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/key_decoder.h"
#include "cli/line_buffer.h"

namespace damask::cli {

class LineEditor {
 public:
  // Whether standard input and standard error (or output) are a terminal that can move its cursor.
  static bool Possible();

  // What was entered; nothing at the end of the input. Between calls the terminal is as it was found, and so it is where a
  // signal ends or stops the program.
  std::optional<std::string> Read(std::string_view prompt);

 private:
  LineBuffer buffer_;
  KeyDecoder decoder_;
  std::string typed_;  // and not decoded yet: what was typed ahead
};

}  // namespace damask::cli
