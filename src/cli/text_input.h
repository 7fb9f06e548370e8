// The text of a prompt, from -p, -f or standard input.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "cli/flags.h"

namespace damask::cli {

struct TextInput {
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  bool escape = false;

  void Declare(Flags* flags, const std::string& what);
  // The file's text, then the prompt on a line of its own; standard input where neither is given and it is no terminal. One
  // newline at the end of a file or of standard input is dropped, as llama.cpp does. Errors: nothing given, nothing in it, not
  // UTF-8.
  Result<std::string> Read() const;
  // Says so where standard input has a text that Read() left alone, as in "cat report.txt | damask generate -p TEXT". Asked
  // when the model is loaded: by then the other program has written something.
  void NoteUnreadInput() const;
};

// The document of `flag`: as above, and not empty. A pipe or a device (a shell's <(command), /dev/stdin) is read to its end.
Result<std::string> ReadDocument(const std::string& path, const std::string& flag = "--file");

// A part of a list: without the spaces around it.
std::string_view WithoutSpaces(std::string_view text);

// \n, \r, \t, \', \", \\ as llama.cpp's -e; anything else stays.
std::string ProcessEscapes(std::string_view text);

}  // namespace damask::cli
