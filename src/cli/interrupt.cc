#include "cli/interrupt.h"

#include <semaphore.h>
#include <unistd.h>

#include <csignal>

#include "base/write_file.h"
#include "cli/exit_code.h"

namespace damask::cli {
namespace {

std::atomic<bool> in_scope{false};
std::atomic<bool> cancel{false};
std::atomic<void (*)()> before_exit{nullptr};
sem_t signalled;  // the only thing a signal handler may wake a thread with
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<void (*)()>::is_always_lock_free,
              "signal handlers need it");

extern "C" void OnInterrupt(int /*signal*/) {
  if (in_scope.load() && !cancel.load()) {
    cancel.store(true);
    sem_post(&signalled);
    return;
  }
  RemoveTemporaries();
  if (void (*const hook)() = before_exit.load(); hook != nullptr) hook();
  _exit(kExitInterrupted);
}

}  // namespace

void InstallSignalHandlers() {
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sem_init(&signalled, 0, 0);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction inherited = {};
  sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup's word counts
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
}

void SetBeforeExit(void (*hook)()) { before_exit.store(hook); }

CancelScope::CancelScope() {
  cancel.store(false);
  in_scope.store(true);
}

CancelScope::~CancelScope() { in_scope.store(false); }

const std::atomic<bool>* CancelScope::flag() const { return &cancel; }

void CancelScope::Wait() const {
  while (!cancelled()) sem_wait(&signalled);
}

void CancelScope::Cancel() { cancel.store(true); }

}  // namespace damask::cli
