// Ctrl-C. While something runs that can stop cleanly the first signal asks it to; at any other time, and the second time, the
// program ends at once with exit code 130, without the temporaries of files it was writing.
#pragma once

#include <atomic>

namespace damask::cli {

// SIGINT, SIGTERM and SIGHUP (unless it was ignored, as nohup does) as above; SIGPIPE and SIGXFSZ ignored: a closed pipe, and a
// file that may not grow, is a failed write.
void InstallSignalHandlers();

// Called where a signal ends the program, from its handler: only what is safe there. Null: nothing more is.
void SetBeforeExit(void (*hook)());

// While one exists, the first signal only sets the flag. Not nested.
class CancelScope {
 public:
  CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  ~CancelScope();

  const std::atomic<bool>* flag() const;
  // As a signal would, for a reader that has gone.
  void Cancel();
  bool cancelled() const { return flag()->load(); }
  // Until a signal has come.
  void Wait() const;
};

}  // namespace damask::cli
