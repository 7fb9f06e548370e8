// Runs a program as a person would and keeps what it said.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace damask::test {

struct ProgramResult {
  int exit_code = -1;      // 0 to 255; 128 + the signal that ended it; 127 where it could not be started
  bool timed_out = false;  // killed at the limit
  std::string out;
  std::string err;
};

// Sent once the program is seen to have come so far, not after a time: how long that takes is the machine's affair. `when` is
// asked again and again with what the program has said by then.
struct ProgramSignal {
  int number = 0;
  std::function<bool(const ProgramResult& so_far)> when;
};

// Conditions for it: a text has been shown, a file has a text in it.
std::function<bool(const ProgramResult&)> OutHas(std::string text);
std::function<bool(const ProgramResult&)> ErrHas(std::string text);
std::function<bool(const ProgramResult&)> FileHas(std::string path, std::string text);

struct ProgramRun {
  std::vector<std::string> args;                               // args[0]: the program, by path or by name along $PATH
  std::string stdin_text;                                      // given to it, then the end of the file
  std::vector<std::pair<std::string, std::string>> env;        // added to, or in place of, what this process has
  std::string working_directory;                               // "": this process's
  bool err_is_terminal = false;                                // progress is shown only there
  void (*in_child)() = nullptr;                                // called there first; only what is safe after a fork
  std::chrono::milliseconds limit = std::chrono::minutes(10);  // then it is killed, with its children
  std::vector<ProgramSignal> signals;                          // one after the other; none once it has ended
};

// Returns when the program has ended (or was killed at its limit) and its outputs are closed. Thread-safe.
ProgramResult RunProgram(const ProgramRun& run);

// The short form: RunProgram({"damask", "info"}).
ProgramResult RunProgram(std::vector<std::string> args);

}  // namespace damask::test
