#include "base/log.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace damask {
namespace {

std::atomic<bool> quiet{false};

void ToStandardError(LogLevel level, const std::string& message) {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("damask", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  if (level == LogLevel::kWarning) {
    logger->warn("damask: warning: {}", message);
  } else {
    logger->info("damask: {}", message);
  }
}

using LogSink = std::function<void(LogLevel, const std::string&)>;

struct SharedSink {
  std::mutex mutex;
  std::shared_ptr<const LogSink> sink = std::make_shared<const LogSink>(ToStandardError);
};

SharedSink& Shared() {
  static SharedSink shared;
  return shared;
}

// The sink is called without the lock: it may take long, log, or be replaced meanwhile.
void Emit(LogLevel level, const std::string& message) {
  std::shared_ptr<const LogSink> sink;
  {
    const std::lock_guard lock(Shared().mutex);
    sink = Shared().sink;
  }
  if (*sink) (*sink)(level, message);
}

}  // namespace

void SetLogSink(LogSink sink) {
  auto next = std::make_shared<const LogSink>(std::move(sink));
  const std::lock_guard lock(Shared().mutex);
  Shared().sink.swap(next);
}

void SetQuiet(bool value) { quiet.store(value); }

void LogInfo(const std::string& message) {
  if (!quiet.load()) Emit(LogLevel::kInfo, message);
}

void LogWarning(const std::string& message) { Emit(LogLevel::kWarning, message); }

}  // namespace damask
