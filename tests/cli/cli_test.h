// The program under test: run as a person would, with its outputs read back.
#pragma once

#include <sys/resource.h>

#include <csignal>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/run_program.h"
#include "tests/temp_dir.h"

namespace damask::test {

using Json = nlohmann::json;

// `damask` with these arguments and nothing on standard input.
ProgramResult Damask(std::vector<std::string> args);
ProgramResult DamaskWithInput(std::vector<std::string> args, std::string input);

// Standard output as exactly one line with one JSON object; a failure of the test and null otherwise.
Json JsonOf(const ProgramResult& result);

// Runs `args` with --json, expects exit code 0, gives the object.
Json DamaskJson(std::vector<std::string> args);

// Exit code 2, nothing on standard output, and one line "damask: error: ..." on standard error that contains `part`.
void ExpectRefused(const ProgramResult& result, const std::string& part);

// For ProgramRun::in_child: no file of the process may be longer from now on, as if the disk were full.
template <rlim_t kBytes>
void FillTheDisk() {
  signal(SIGXFSZ, SIG_DFL);
  const rlimit limit{kBytes, kBytes};
  setrlimit(RLIMIT_FSIZE, &limit);
}

// A random-weight model of the repository's tool, made once per test program: the SPM vocabulary of 512 pieces, 2 layers,
// context 2048, no chat template. `type` is "F32", "Q8_0", ...
std::string TinyModel(const std::string& arch = "llama", const std::string& type = "F32");

// The same as a Hugging Face folder.
std::string TinyFolder();

}  // namespace damask::test
