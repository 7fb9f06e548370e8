// The real program, `damask serve`, as a child process: started, waited for, signalled.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/temp_dir.h"

namespace damask::server {

class ServerProcess {
 public:
  // `program` serve --json `args`
  ServerProcess(const std::string& program, std::vector<std::string> args);
  ~ServerProcess();  // kills what still runs
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // What it says once the model is loaded: {"url", "port", ...}; nothing where it ends before, or takes minutes.
  std::optional<nlohmann::json> WaitUntilReady();
  // Whether its standard error holds that text within a minute.
  bool WaitForNote(const std::string& text) const;
  void Signal(int signal) const;
  pid_t pid() const { return pid_; }
  // Its exit code, 128 + N after signal N; nothing where it still runs after a minute.
  std::optional<int> WaitForExit();
  std::string out() const { return test::ReadBytes(dir_.File("out")); }
  std::string err() const { return test::ReadBytes(dir_.File("err")); }

 private:
  bool HasEnded();

  test::TempDir dir_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

}  // namespace damask::server
