#include "tests/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/end_with_parent.h"

namespace damask::test {
namespace {

using Clock = std::chrono::steady_clock;

// How often a signal's condition is looked at.
constexpr std::chrono::milliseconds kLookEvery{5};

struct Terminal {};

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
    read_end = ends[0];
    write_end = ends[1];
  }
  // What is written is shown on a terminal; the read end stands for who looks at it.
  explicit Pipe(Terminal) {
    read_end = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[128];
    const bool made =
        read_end >= 0 && grantpt(read_end) == 0 && unlockpt(read_end) == 0 && ptsname_r(read_end, name, sizeof(name)) == 0;
    if (made) write_end = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (write_end < 0) throw std::runtime_error("there is no terminal to be had");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  void CloseRead() { Close(&read_end); }
  void CloseWrite() { Close(&write_end); }
  static void Close(int* fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }

  int read_end = -1;
  int write_end = -1;
};

std::vector<std::string> Environment(const ProgramRun& run) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(run.env.begin(), run.env.end(), [&](const auto& pair) { return pair.first == name; });
    if (!replaced) all.push_back(text);
  }
  for (const auto& [name, value] : run.env) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the child: only calls that are safe after fork in a program with threads.
[[noreturn]] void Become(const ProgramRun& run, pid_t parent, char* const* args, char* const* env, int in, int out, int err) {
  setpgid(0, 0);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (run.in_child != nullptr) run.in_child();
  EndWithParent(parent);
  if (run.working_directory.empty() || chdir(run.working_directory.c_str()) == 0) execvpe(args[0], args, env);
  _exit(127);
}

// Writes what the pipe takes; the program may have closed it (EPIPE), then the rest is of no interest.
void Feed(const std::string& text, size_t* done, Pipe* in) {
  if (*done < text.size()) {
    const ssize_t put = write(in->write_end, text.data() + *done, std::min<size_t>(text.size() - *done, 1 << 16));
    if (put > 0) *done += static_cast<size_t>(put);
    if (put < 0 && errno != EAGAIN && errno != EINTR) *done = text.size();
  }
  if (*done == text.size()) in->CloseWrite();
}

void Drain(Pipe* pipe, std::string* text) {
  char buffer[1 << 16];
  const ssize_t got = read(pipe->read_end, buffer, sizeof(buffer));
  if (got > 0) text->append(buffer, static_cast<size_t>(got));
  if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) pipe->CloseRead();
}

}  // namespace

std::function<bool(const ProgramResult&)> OutHas(std::string text) {
  return [text = std::move(text)](const ProgramResult& so_far) { return so_far.out.find(text) != std::string::npos; };
}

std::function<bool(const ProgramResult&)> ErrHas(std::string text) {
  return [text = std::move(text)](const ProgramResult& so_far) { return so_far.err.find(text) != std::string::npos; };
}

std::function<bool(const ProgramResult&)> FileHas(std::string path, std::string text) {
  return [path = std::move(path), text = std::move(text)](const ProgramResult&) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {}).find(text) != std::string::npos;
  };
}

ProgramResult RunProgram(const ProgramRun& run) {
  // A program that ends without reading its input must not end this process.
  static const bool ignored = [] { return std::signal(SIGPIPE, SIG_IGN) != SIG_ERR; }();
  (void)ignored;
  Pipe in;
  Pipe out;
  Pipe err = run.err_is_terminal ? Pipe(Terminal()) : Pipe();
  std::vector<std::string> args = run.args;
  std::vector<std::string> environment = Environment(run);
  const std::vector<char*> arg_pointers = Pointers(args);
  const std::vector<char*> env_pointers = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    Become(run, parent, arg_pointers.data(), env_pointers.data(), in.read_end, out.write_end, err.write_end);
  }
  setpgid(child, child);
  in.CloseRead();
  out.CloseWrite();
  err.CloseWrite();
  fcntl(in.write_end, F_SETFL, O_NONBLOCK);

  ProgramResult result;
  const Clock::time_point start = Clock::now();
  size_t fed = 0;
  size_t next_signal = 0;
  while (out.read_end >= 0 || err.read_end >= 0) {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    if (passed >= run.limit && !result.timed_out) {
      result.timed_out = true;
      kill(-child, SIGKILL);
    }
    for (; next_signal < run.signals.size() && run.signals[next_signal].when(result); ++next_signal) {
      kill(child, run.signals[next_signal].number);
    }
    auto wait = run.limit - passed;
    if (next_signal < run.signals.size()) wait = std::min(wait, kLookEvery);
    const int timeout = result.timed_out ? 1000 : static_cast<int>(std::clamp<long>(wait.count(), 1, 60000));
    pollfd fds[] = {{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}, {in.write_end, POLLOUT, 0}};
    if (poll(fds, 3, timeout) <= 0) continue;
    if (fds[0].revents != 0) Drain(&out, &result.out);
    if (fds[1].revents != 0) Drain(&err, &result.err);
    if (fds[2].revents != 0) Feed(run.stdin_text, &fed, &in);
  }
  in.CloseWrite();

  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

ProgramResult RunProgram(std::vector<std::string> args) {
  ProgramRun run;
  run.args = std::move(args);
  return RunProgram(run);
}

}  // namespace damask::test
