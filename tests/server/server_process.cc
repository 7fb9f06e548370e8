#include "tests/server/server_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <thread>

#include "tests/end_with_parent.h"

namespace damask::server {
namespace {

bool Wait(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

int Create(const std::string& path) { return open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); }

}  // namespace

ServerProcess::ServerProcess(const std::string& program, std::vector<std::string> args) {
  args.insert(args.begin(), {program, "serve", "--json"});
  std::vector<char*> pointers;
  pointers.reserve(args.size() + 1);
  for (std::string& arg : args) pointers.push_back(arg.data());
  pointers.push_back(nullptr);
  const int out = Create(dir_.File("out"));
  const int err = Create(dir_.File("err"));
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    test::EndWithParent(parent);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  close(out);
  close(err);
}

ServerProcess::~ServerProcess() {
  if (HasEnded()) return;
  Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool ServerProcess::HasEnded() {
  int status = 0;
  if (exit_code_) return true;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return true;
}

std::optional<nlohmann::json> ServerProcess::WaitUntilReady() {
  const auto said = [this] { return out().find('\n') != std::string::npos; };
  Wait([&] { return said() || HasEnded(); });
  if (!said()) return std::nullopt;
  return nlohmann::json::parse(out(), nullptr, false);
}

bool ServerProcess::WaitForNote(const std::string& text) const {
  return Wait([&] { return err().find(text) != std::string::npos; });
}

void ServerProcess::Signal(int signal) const { kill(pid_, signal); }

std::optional<int> ServerProcess::WaitForExit() {
  Wait([this] { return HasEnded(); });
  return exit_code_;
}

}  // namespace damask::server
