// What a user without rights may do, in tests that run as root.
#pragma once

#include <unistd.h>

#include <gtest/gtest.h>

namespace damask::test {

// Acts as a user without rights for as long as it lives, where the tests run as root.
class WithoutRoot {
 public:
  WithoutRoot() : was_root_(geteuid() == 0) {
    if (was_root_ && seteuid(65534) != 0) ADD_FAILURE() << "seteuid";
  }
  WithoutRoot(const WithoutRoot&) = delete;
  WithoutRoot& operator=(const WithoutRoot&) = delete;
  ~WithoutRoot() {
    if (was_root_ && seteuid(0) != 0) ADD_FAILURE() << "seteuid";
  }

 private:
  bool was_root_;
};

}  // namespace damask::test
