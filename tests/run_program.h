// Runs a program as a person would and keeps what it said.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace damask::test {

struct ProgramRun {
  std::vector<std::string> args;                                   // args[0]: the program, by path or by name along $PATH
  std::string stdin_text;                                          // given to it, then the end of the file
  std::vector<std::pair<std::string, std::string>> env;            // added to, or in place of, what this process has
  std::string working_directory;                                   // "": this process's
  void (*in_child)() = nullptr;                                    // called there first; only what is safe after a fork
  std::chrono::milliseconds limit = std::chrono::minutes(2);       // then it is killed, with its children
  std::vector<std::pair<std::chrono::milliseconds, int>> signals;  // sent to it so long after its start, in this order
};

struct ProgramResult {
  int exit_code = -1;      // 0 to 255; 128 + the signal that ended it; 127 where it could not be started
  bool timed_out = false;  // killed at the limit
  std::string out;
  std::string err;
};

// Returns when the program has ended (or was killed at its limit) and its outputs are closed. Thread-safe.
ProgramResult RunProgram(const ProgramRun& run);

// The short form: RunProgram({"damask", "info"}).
ProgramResult RunProgram(std::vector<std::string> args);

}  // namespace damask::test
