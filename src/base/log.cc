#include "base/log.h"

#include <atomic>
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

std::function<void(LogLevel, const std::string&)>& Sink() {
  static std::function<void(LogLevel, const std::string&)> sink = ToStandardError;
  return sink;
}

}  // namespace

void SetLogSink(std::function<void(LogLevel, const std::string&)> sink) { Sink() = std::move(sink); }

void SetQuiet(bool value) { quiet.store(value); }

void LogInfo(const std::string& message) {
  if (!quiet.load() && Sink()) Sink()(LogLevel::kInfo, message);
}

void LogWarning(const std::string& message) {
  if (Sink()) Sink()(LogLevel::kWarning, message);
}

}  // namespace damask
