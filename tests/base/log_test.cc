#include "base/log.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace damask {
namespace {

// Messages go to a list while it lives, then nowhere.
class Recorder {
 public:
  Recorder() {
    SetLogSink([this](LogLevel level, const std::string& message) {
      seen.push_back((level == LogLevel::kWarning ? "warning: " : "info: ") + message);
    });
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder() {
    SetLogSink({});
    SetQuiet(false);
  }
  std::vector<std::string> seen;
};

TEST(Log, TheSinkOfALibraryUserGetsEveryMessage) {
  const Recorder recorder;
  LogInfo("loading");
  LogWarning("braces {} are text");
  EXPECT_EQ(recorder.seen, (std::vector<std::string>{"info: loading", "warning: braces {} are text"}));
}

TEST(Log, QuietSilencesNotesAndKeepsWarnings) {
  const Recorder recorder;
  SetQuiet(true);
  LogInfo("loading");
  LogWarning("odd");
  EXPECT_EQ(recorder.seen, (std::vector<std::string>{"warning: odd"}));
}

TEST(Log, AnEmptySinkSilencesEverything) {
  { const Recorder recorder; }
  LogWarning("nobody listens");  // must not throw std::bad_function_call
}

TEST(Log, ASinkMayBeReplacedWhileOthersWriteAndByItself) {
  std::atomic<int> seen = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 2; ++i) {
    writers.emplace_back([] {
      for (int message = 0; message < 2000; ++message) LogWarning("a message");
    });
  }
  for (int i = 0; i < 2000; ++i) SetLogSink([&seen, i](LogLevel, const std::string&) { seen += i >= 0 ? 1 : 0; });
  for (std::thread& writer : writers) writer.join();
  SetLogSink([&seen](LogLevel, const std::string&) {
    SetLogSink({});
    seen = -1;  // of the function that was replaced, still there
  });
  LogWarning("the last");
  LogWarning("nobody listens");
  EXPECT_EQ(seen.load(), -1);
}

}  // namespace
}  // namespace damask
