// The program's exit codes and what leads to them: the one place that says so.
#pragma once

#include "base/status.h"

namespace damask::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;    // failed while running: out of memory, a bug, output that cannot be written
inline constexpr int kExitWrongUse = 2;  // a wrong flag, or input that is not what it should be
inline constexpr int kExitInterrupted = 130;

inline int ExitCode(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk: return kExitDone;
    case StatusCode::kInvalidArgument:
    case StatusCode::kBadFormat:
    case StatusCode::kUnsupported:
    case StatusCode::kTruncated:
    case StatusCode::kTooLarge:
    case StatusCode::kNotFound:
    case StatusCode::kIo: return kExitWrongUse;
    case StatusCode::kCancelled: return kExitInterrupted;
    case StatusCode::kWriteFailed:
    case StatusCode::kOutOfMemory:
    case StatusCode::kInternal: return kExitFailed;
  }
  return kExitFailed;
}

}  // namespace damask::cli
