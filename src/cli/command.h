// What a command of the program is, and the table of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/flags.h"
#include "texts/tasks.h"

namespace damask::cli {

// Flags that every command has.
struct CommonFlags {
  bool json = false;
  bool quiet = false;
  uint64_t threads = 0;  // 0: physical cores
  std::string target;    // "": the best; checked
};

class Command {
 public:
  virtual ~Command() = default;
  virtual void Declare(Flags* flags) = 0;
  // The exit code, or an error that exit_code.h turns into one.
  virtual Result<int> Run(const CommonFlags& common) = 0;
};

struct CommandEntry {
  std::string_view name;  // one word, or two: "eval logits"
  std::string_view summary;
  std::string_view example;
  std::unique_ptr<Command> (*make)();
};

const std::vector<CommandEntry>& Commands();

// Each in the file of its name.
std::unique_ptr<Command> MakeGenerate();
std::unique_ptr<Command> MakeChat();
std::unique_ptr<Command> MakeCalibrate();
std::unique_ptr<Command> MakeCalibrateHeads();
std::unique_ptr<Command> MakeTokenize();
std::unique_ptr<Command> MakeDetokenize();
std::unique_ptr<Command> MakeInfo();
std::unique_ptr<Command> MakeEvalLogits();
std::unique_ptr<Command> MakeEvalPerplexity();
std::unique_ptr<Command> MakeEvalTask(texts::Task task);
std::unique_ptr<Command> MakeEvalJsonl();
std::unique_ptr<Command> MakeEvalCompare();
std::unique_ptr<Command> MakeBench();
std::unique_ptr<Command> MakeBenchAttention();
std::unique_ptr<Command> MakeBenchMatmul();
std::unique_ptr<Command> MakeBenchPolicies();
std::unique_ptr<Command> MakePolicies();
std::unique_ptr<Command> MakeCheck();
std::unique_ptr<Command> MakeInspect();
std::unique_ptr<Command> MakeServe();

// Finds the command that `arguments` begin with, parses the rest and runs it. Prints errors; returns the exit code.
int RunProgram(const std::vector<std::string>& arguments);

}  // namespace damask::cli
