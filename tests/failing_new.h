// Memory that runs out: for tests that are linked with failing_new.cc, which replaces the program's operator new.
#pragma once

#include <cstddef>

namespace damask::test {

// While it lives, the thread that made it gets `allowed` more allocations by operator new; all behind fail.
class FailingNew {
 public:
  explicit FailingNew(size_t allowed);
  FailingNew(const FailingNew&) = delete;
  FailingNew& operator=(const FailingNew&) = delete;
  ~FailingNew();
};

}  // namespace damask::test
