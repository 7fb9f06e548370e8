// Warnings and notes for people, on standard error only. A library user may silence them or take them over.
#pragma once

#include <functional>
#include <string>

namespace damask {

enum class LogLevel { kInfo, kWarning };

// Replaces the sink (default: "damask: warning: ..." on standard error through spdlog). An empty function silences everything.
// Call before threads start.
void SetLogSink(std::function<void(LogLevel, const std::string&)> sink);

// Silences kInfo (--quiet).
void SetQuiet(bool quiet);

void LogInfo(const std::string& message);
void LogWarning(const std::string& message);

}  // namespace damask
