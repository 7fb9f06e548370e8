#include "base/log.h"

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

}  // namespace
}  // namespace damask
