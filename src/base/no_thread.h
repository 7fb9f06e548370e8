// What to say where the system gives no thread (pids.max, ulimit -u).
#pragma once

#include <system_error>

#include <fmt/format.h>

#include "base/status.h"

namespace damask {

inline Status NoThread(const std::system_error& error) {
  return IoError(fmt::format("cannot start a thread: {}", error.code().message()));
}

}  // namespace damask
