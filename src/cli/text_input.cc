#include "cli/text_input.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/output.h"

namespace damask::cli {
namespace {

void DropLastNewline(std::string* text) {
  if (!text->empty() && text->back() == '\n') text->pop_back();
  if (!text->empty() && text->back() == '\r') text->pop_back();
}

// `way_out` is said at the end.
Status CheckUtf8(std::string_view text, const std::string& where, std::string_view way_out) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t length = Utf8Length(rest);
    if (length == 0) {
      return InvalidArgument(fmt::format("{}: the text is not valid UTF-8: byte {} is 0x{:02x}{}", where,
                                         text.size() - rest.size(), static_cast<unsigned char>(rest[0]), way_out));
    }
    rest.remove_prefix(length);
  }
  return Status();
}

Result<std::string> ReadFileText(const std::string& path) {
  if (path == "-") return ReadStandardInput(limits::kMaxTextFileBytes);
  return ReadDocumentFile(path, limits::kMaxTextFileBytes);
}

// Whether a pipe has bytes in it, or a file some left. Waits for nothing and takes nothing.
bool InputWaits() {
  struct stat status = {};
  if (fstat(STDIN_FILENO, &status) != 0) return false;
  if (S_ISREG(status.st_mode)) return lseek(STDIN_FILENO, 0, SEEK_CUR) < status.st_size;
  if (!S_ISFIFO(status.st_mode)) return false;
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  int bytes = 0;
  return poll(&input, 1, 0) == 1 && ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && bytes > 0;
}

}  // namespace

std::string ProcessEscapes(std::string_view text) {
  constexpr std::string_view kLetters = "nrt'\"\\";
  constexpr std::string_view kMeanings = "\n\r\t'\"\\";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t letter = text[i] == '\\' && i + 1 < text.size() ? kLetters.find(text[i + 1]) : std::string_view::npos;
    if (letter == std::string_view::npos) {
      out += text[i];
    } else {
      out += kMeanings[letter];
      ++i;
    }
  }
  return out;
}

std::string_view WithoutSpaces(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

Result<std::string> ReadDocument(const std::string& path, const std::string& flag) {
  if (path.empty()) return InvalidArgument(flag + ": the path is empty");
  DAMASK_ASSIGN_OR_RETURN(std::string text, ReadFileText(path));
  DropLastNewline(&text);
  const std::string name = path == "-" ? "standard input" : Quote(path);
  if (text.empty()) return InvalidArgument(fmt::format("{} has no text", name));
  DAMASK_RETURN_IF_ERROR(CheckUtf8(text, name, " (convert it: iconv -f LATIN1 -t UTF-8)"));
  return text;
}

void TextInput::Declare(Flags* flags, const std::string& what) {
  flags->Text("-p,--prompt", "TEXT", &prompt, what);
  flags->Text("-f,--file", "FILE", &file, what + " from a file; with -p as well: the file's text, then the prompt");
  flags->Switch("-e,--escape", &escape, "\\n, \\t, \\\\ and the like in texts of flags stand for characters");
}

Result<std::string> TextInput::Read() const {
  if (!prompt && !file) {
    if (StdinIsTerminal()) return InvalidArgument("there is no text: give -p TEXT, -f FILE, or text on standard input");
    return ReadDocument("-");
  }
  std::string text;
  if (file) {
    DAMASK_ASSIGN_OR_RETURN(text, ReadDocument(*file));
  }
  if (prompt) {
    DAMASK_RETURN_IF_ERROR(CheckUtf8(*prompt, "--prompt", ""));
    if (file) text += '\n';
    text += escape ? ProcessEscapes(*prompt) : *prompt;
  }
  if (text.empty()) return InvalidArgument("the prompt is empty");
  return text;
}

void TextInput::NoteUnreadInput() const {
  if (prompt && !file && InputWaits()) LogInfo("standard input is not read; -f - puts it in front of the prompt");
}

}  // namespace damask::cli
