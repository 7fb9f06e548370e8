#include "tests/failing_new.h"

#include <cstdint>
#include <cstdlib>
#include <new>

namespace damask::test {
namespace {

constexpr size_t kAll = SIZE_MAX;
thread_local size_t left = kAll;

bool Take() {
  if (left == 0) return false;
  if (left != kAll) --left;
  return true;
}

}  // namespace

FailingNew::FailingNew(size_t allowed) { left = allowed; }
FailingNew::~FailingNew() { left = kAll; }

}  // namespace damask::test

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return damask::test::Take() ? std::malloc(bytes == 0 ? 1 : bytes) : nullptr;
}
void* operator new(size_t bytes) {
  void* const memory = operator new(bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
