// Where warnings and notes go. Part of the public API.
#pragma once

#include <functional>
#include <string>

namespace damask {

enum class LogLevel { kInfo, kWarning };

// Replaces what gets the messages (default: "damask: warning: ..." on standard error). An empty function silences all. May be
// called at any time, from any thread. The function may be called by several threads at once, and once more after it was
// replaced, where a message is on its way; it must not throw.
void SetLogSink(std::function<void(LogLevel, const std::string&)> sink);

}  // namespace damask
