// Warnings and notes for people, on standard error only. A library user may silence them or take them over (SetLogSink).
#pragma once

#include <string>

#include "damask/log.h"  // IWYU pragma: export

namespace damask {

// Silences kInfo (--quiet).
void SetQuiet(bool quiet);

void LogInfo(const std::string& message);
void LogWarning(const std::string& message);

}  // namespace damask
