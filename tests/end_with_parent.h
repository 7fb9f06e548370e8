// A test that is killed (by its time limit, by hand) runs no destructor: what it started must not outlive it.
#pragma once

#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>

namespace damask::test {

// In the child of `parent`, after a fork and after a change of user, which takes it back: the kernel kills the child once the
// thread that forked it has ended. What the child starts itself is not included.
inline void EndWithParent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it ended before
}

}  // namespace damask::test
