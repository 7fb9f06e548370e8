#include "tests/batching/failing_new.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace damask::batching::test {

std::atomic<long> allocations_left{kNeverFails};
thread_local bool may_fail = false;

}  // namespace damask::batching::test

namespace {

void* Allocate(size_t size) noexcept {
  using damask::batching::test::allocations_left;
  if (damask::batching::test::may_fail && allocations_left.fetch_sub(1) == 0) return nullptr;
  return std::malloc(size == 0 ? 1 : size);
}

}  // namespace

void* operator new(size_t size) {
  if (void* memory = Allocate(size)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
