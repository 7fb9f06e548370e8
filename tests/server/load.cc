// server_load PROGRAM SECONDS [CLIENTS]: that many clients at once ask `PROGRAM serve` over the embedded model for greedy
// streams of mixed lengths. No error but 429 may come, and every stream must be the text that the same request gave when it was
// alone. Prints what was done; exit code 1 where something was wrong.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/server/load_questions.h"
#include "tests/server/server_process.h"
#include "tests/server/sse_client.h"

namespace damask::server {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

class Load {
 public:
  explicit Load(uint16_t port) : port_(port) {}

  bool AskAlone() {
    for (const Json& body : MakeBodies()) {
      SseClient stream(port_, "/v1/completions", body);
      stream.ReadAll();
      if (!stream.done()) return Fail(fmt::format("alone: status {}, {}", stream.status(), stream.broken()));
      questions_.push_back({body, stream.text()});
    }
    return true;
  }

  void Run(size_t clients, double seconds) {
    const Clock::time_point begin = Clock::now();
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::vector<std::thread> threads;
    for (size_t i = 0; i < clients; ++i) {
      threads.emplace_back([this, i, end] {
        for (size_t turn = i; Clock::now() < end && failures_.load() == 0; turn += 7)
          AskOnce(questions_[turn % questions_.size()]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    fmt::print("{} clients, {:.1f} s: {} answers, {} times 429, {:.0f} answer tokens/s, {:.0f} prompt tokens/s, {} failures\n",
               clients, took, answers_.load(), refused_.load(), static_cast<double>(drawn_.load()) / took,
               static_cast<double>(read_.load()) / took, failures_.load());
  }

  bool ok() const { return failures_.load() == 0 && answers_.load() > 0; }

 private:
  void AskOnce(const Question& question) {
    SseClient stream(port_, "/v1/completions", question.body);
    if (stream.status() == 429) {
      ++refused_;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return;
    }
    stream.ReadAll();
    if (stream.status() != 200 || !stream.done() || !stream.whole() || !stream.broken().empty()) {
      Fail(fmt::format("status {}, {}", stream.status(), stream.broken()));
    } else if (stream.text() != question.text) {
      Fail(fmt::format("another text than alone: '{}', not '{}'", stream.text(), question.text));
    } else {
      ++answers_;
      const Json& usage = stream.events().back()["usage"];
      drawn_ += usage["completion_tokens"].get<uint64_t>();
      read_ += usage["prompt_tokens"].get<uint64_t>();
    }
  }

  bool Fail(const std::string& what) {
    if (failures_++ == 0) fmt::print(stderr, "server_load: {}\n", what);
    return false;
  }

  const uint16_t port_;
  std::vector<Question> questions_;
  std::atomic<uint64_t> answers_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> drawn_{0};
  std::atomic<uint64_t> read_{0};
  std::atomic<uint64_t> failures_{0};
};

int Main(const std::string& program, double seconds, size_t clients) {
  // Fewer places than clients, so that 429 is met too.
  ServerProcess server(program, {"--port", "0", "--parallel", "16", "--queue", "32"});
  const std::optional<Json> ready = server.WaitUntilReady();
  if (!ready) {
    fmt::print(stderr, "server_load: no server: {}\n", server.err());
    return 1;
  }
  Load load((*ready)["port"]);
  if (load.AskAlone()) load.Run(clients, seconds);
  server.Signal(SIGTERM);
  const std::optional<int> code = server.WaitForExit();
  if (code != 0) fmt::print(stderr, "server_load: the server ended with {}: {}\n", code.value_or(-1), server.err());
  return load.ok() && code == 0 ? 0 : 1;
}

}  // namespace
}  // namespace damask::server

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fputs("usage: server_load PROGRAM SECONDS [CLIENTS]\n", stderr);
    return 2;
  }
  const size_t clients = argc == 4 ? std::strtoul(argv[3], nullptr, 10) : 64;
  return damask::server::Main(argv[1], std::strtod(argv[2], nullptr), clients);
}
