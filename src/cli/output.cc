#include "cli/output.h"

#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/exit_code.h"

namespace damask::cli {
namespace {

int write_error = 0;  // errno of the first failed write

std::string WithoutControls(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, std::max<size_t>(1, Utf8Length(text)));
    if (!IsControlCharacter(character)) out += character;
    text.remove_prefix(character.size());
  }
  return out;
}

void Flush() {
  if (std::fflush(stdout) != 0 && write_error == 0) write_error = errno;
}

}  // namespace

void Write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && write_error == 0) write_error = errno;
}

void WriteLive(std::string_view text) {
  if (StdoutIsTerminal()) {
    Write(WithoutControls(text));
  } else {
    Write(text);
  }
  Flush();
}

bool OutputBroken() { return write_error != 0; }

void WriteJson(const report::Json& object) {
  Write(object.dump(-1, ' ', false, report::Json::error_handler_t::replace) + "\n");
}

std::string FourDigits(double value) { return value < 1000.0 ? fmt::format("{:.4g}", value) : fmt::format("{:.0f}", value); }

void PrintError(std::string_view message) {
  std::string line(message);
  std::replace(line.begin(), line.end(), '\n', ' ');
  line = "damask: error: " + line + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void PrintError(const Status& status) { PrintError(status.ToString()); }

bool StdinIsTerminal() { return isatty(STDIN_FILENO) == 1; }
bool StdoutIsTerminal() { return isatty(STDOUT_FILENO) == 1; }
bool StderrIsTerminal() { return isatty(STDERR_FILENO) == 1; }

int FinishOutput(int exit_code) {
  Flush();
  if (!OutputBroken()) return exit_code;
  // A reader that has seen enough ("| head") is no news to whoever sent it away.
  if (write_error == EPIPE) return kExitFailed;
  PrintError(std::string("cannot write to standard output: ") + std::strerror(write_error));
  return kExitFailed;
}

}  // namespace damask::cli
