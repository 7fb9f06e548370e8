// server_soak PROGRAM SECONDS: clients of every kind, well-behaved and not, ask `PROGRAM serve` over the embedded model for
// that long; before and after it, when nothing is running, its memory, descriptors, threads and pages must be the same
// (BAD_INPUT L12). Answers that are waited for must be those that the same request got alone. Prints what it saw; exit code 1
// where something was wrong.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
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

constexpr size_t kClients = 12;
// Kept prefixes fill their limits while the server warms up: what grows after that is not theirs.
constexpr size_t kPrefixBytes = 16 << 20;
// What an allocator may have more of after a while, in bytes. A leak of some hundred bytes a request is more.
constexpr uint64_t kSlack = 12 << 20;

// The server's process when nothing is running.
struct Level {
  uint64_t resident = 0;  // bytes
  size_t files = 0;
  uint64_t threads = 0;
  double pages = 0;     // bytes of key and value pages
  double prefixes = 0;  // of them: the limit that kept prefixes stay under
  double busy = 0;      // requests

  std::string Text() const {
    return fmt::format("{:.1f} MB resident, {} descriptors, {} threads, {:.1f} MB of pages",
                       static_cast<double>(resident) / 1e6, files, threads, pages / 1e6);
  }
};

uint64_t StatusField(pid_t pid, const std::string& name) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string word; status >> word;) {
    uint64_t value = 0;
    if (word == name + ":" && status >> value) return value;
  }
  return 0;
}

double Metric(const std::string& text, const std::string& name) {
  const size_t at = text.find("\ndamask_" + name + " ");
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + name.size() + 9, nullptr);
}

class Soak {
 public:
  Soak(uint16_t port, pid_t pid) : port_(port), pid_(pid) {}

  void AskAlone() {
    for (const Json& body : MakeBodies()) {
      SseClient stream(port_, "/v1/completions", body);
      stream.ReadAll();
      if (!stream.done()) Fail(fmt::format("alone: status {}, {}", stream.status(), stream.broken()));
      questions_.push_back({body, stream.text()});
    }
  }

  void Run(double seconds) {
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::vector<std::thread> clients;
    for (size_t i = 0; i < kClients; ++i) {
      clients.emplace_back([this, i, end] {
        for (size_t turn = i; failures_ == 0 && (Clock::now() < end || turn < i + kKinds); ++turn) Ask(turn);
      });
    }
    for (std::thread& client : clients) client.join();
  }

  // When nothing is running; what closes is given a while to be closed.
  Level Measure(const Level& expected) const {
    Level level;
    for (int i = 0; i < 600; ++i) {
      level = LevelNow();
      const bool idle = level.busy == 0 && level.pages <= level.prefixes;
      if (idle && (expected.files == 0 || (level.files <= expected.files && level.threads <= expected.threads))) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return level;
  }

  void Compare(const Level& before, const Level& after) {
    if (after.busy != 0) Fail(fmt::format("{} requests are still there", after.busy));
    if (after.pages > after.prefixes) Fail("pages are in use that no kept prefix explains");
    if (after.files > before.files || after.threads > before.threads) Fail("descriptors or threads were left behind");
    if (after.resident > before.resident + kSlack) Fail("memory has grown");
  }

  std::string Counts() const {
    return fmt::format("{} answers as alone, {} clients that left, {} faults told, {} times 429", answers_.load(), left_.load(),
                       refused_.load(), busy_.load());
  }
  bool ok() const { return failures_ == 0; }
  uint64_t requests() const { return answers_ + left_ + refused_ + busy_; }

 private:
  static constexpr size_t kKinds = 8;

  void Ask(size_t turn) {
    const Question& question = questions_[turn % questions_.size()];
    switch (turn % kKinds) {
      case 0:
      case 1: return Stream(question);
      case 2: return Whole(question);
      case 3: return LeaveStream(question);
      case 4: return LeaveReading();
      case 5: return Wrong();
      case 6: return Look();
      default: return LeaveBody();
    }
  }

  void Expect(int status, const std::string& text, const Question& question) {
    if (status == 429) {
      ++busy_;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    } else if (status != 200 || text != question.text) {
      Fail(fmt::format("status {}, '{}', not '{}'", status, text, question.text));
    } else {
      ++answers_;
    }
  }

  void Stream(const Question& question) {
    SseClient stream(port_, "/v1/completions", question.body);
    stream.ReadAll();
    Expect(stream.status(), stream.text(), question);
  }
  void Whole(const Question& question) {
    const auto response = Fetch(port_, "POST", "/v1/completions", question.body.dump());
    if (!response) return Fail("no answer");
    const Json json = Json::parse(response->body, nullptr, false);
    Expect(response->status, response->status == 200 ? json["choices"][0]["text"].get<std::string>() : "", question);
  }
  // Between two tokens, every other time without a good-bye.
  void LeaveStream(const Question& question) {
    Json body = question.body;
    body["max_tokens"] = 1000;
    body["ignore_eos"] = true;
    SseClient stream(port_, "/v1/completions", body);
    if (stream.status() == 200) stream.NextData();
    if (left_++ % 2 == 0) stream.client().Reset();
  }
  // While its prompt is read, or waits.
  void LeaveReading() {
    RawClient client(port_);
    Json ids = Json::array();
    const uint64_t seed = left_++;
    for (size_t i = 0; i < 3000; ++i) ids.push_back((i * 31 + seed * 17) % 2048);
    client.Send(RawClient::Request("POST", "/v1/completions", Json{{"prompt", std::move(ids)}, {"max_tokens", 5}}.dump()));
    std::this_thread::sleep_for(std::chrono::milliseconds(seed % 40));
  }
  void LeaveBody() {
    RawClient client(port_);
    client.Send("POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + std::string(60000, ' '));
    ++left_;
  }
  void Wrong() {
    RawClient client(port_);
    for (const char* body : {"{\"prompt\":", R"({"prompt":"a","temperature":200})", R"({"prompt":[1,99999999]})"}) {
      client.Send(RawClient::Request("POST", "/v1/completions", body));
      const auto response = client.ReadResponse();
      if (!response || response->status != 400) Fail("a wrong request was not told so");
      ++refused_;
    }
  }
  void Look() {
    RawClient client(port_);
    for (const char* path : {"/", "/health", "/metrics", "/slots", "/v1/models", "/props"}) {
      client.Send(RawClient::Request("GET", path));
      const auto response = client.ReadResponse();
      if (!response || response->status != 200) Fail(fmt::format("no answer from {}", path));
    }
  }

  Level LevelNow() const {
    const auto metrics = Fetch(port_, "GET", "/metrics");
    const std::string text = metrics ? "\n" + metrics->body : "";
    namespace fs = std::filesystem;
    const fs::directory_iterator files(fmt::format("/proc/{}/fd", pid_));
    return {.resident = StatusField(pid_, "VmRSS") * 1024,
            .files = static_cast<size_t>(std::distance(fs::begin(files), fs::end(files))),
            .threads = StatusField(pid_, "Threads"),
            .pages = Metric(text, "kv_bytes"),
            .prefixes = Metric(text, "prefix_memory_bytes"),
            .busy = Metric(text, "requests_queued") + Metric(text, "requests_reading") + Metric(text, "requests_drawing")};
  }

  void Fail(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (failures_++ == 0) fmt::print(stderr, "server_soak: {}\n", what);
  }

  const uint16_t port_;
  const pid_t pid_;
  std::vector<Question> questions_;
  std::mutex mutex_;
  std::atomic<uint64_t> answers_{0};
  std::atomic<uint64_t> left_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> busy_{0};
  std::atomic<uint64_t> failures_{0};
};

int Main(const std::string& program, double seconds) {
  const test::TempDir dir;
  const std::string bytes = std::to_string(kPrefixBytes);
  ServerProcess server(program, {"--port", "0", "--parallel", "6", "--queue", "4", "--prefix-cache", dir.File("kept"),
                                 "--prefix-bytes", bytes, "--prefix-disk-bytes", bytes});
  const std::optional<Json> ready = server.WaitUntilReady();
  if (!ready) {
    fmt::print(stderr, "server_soak: no server: {}\n", server.err());
    return 1;
  }
  Soak soak((*ready)["port"], server.pid());
  soak.AskAlone();
  soak.Run(std::max(2.0, seconds / 10));  // buffers, arenas and caches reach their size
  const Level before = soak.Measure({});
  fmt::print("before: {}\n", before.Text());
  const uint64_t warm = soak.requests();
  soak.Run(seconds);
  const Level after = soak.Measure(before);
  fmt::print("after {:.0f} s and {} requests: {}\n{}\n", seconds, soak.requests() - warm, after.Text(), soak.Counts());
  soak.Compare(before, after);
  server.Signal(SIGTERM);
  const std::optional<int> code = server.WaitForExit();
  if (code != 0) fmt::print(stderr, "server_soak: the server ended with {}: {}\n", code.value_or(-1), server.err());
  return soak.ok() && code == 0 ? 0 : 1;
}

}  // namespace
}  // namespace damask::server

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: server_soak PROGRAM SECONDS\n", stderr);
    return 2;
  }
  try {
    return damask::server::Main(argv[1], std::strtod(argv[2], nullptr));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "server_soak: %s\n", error.what());
    return 1;
  }
}
