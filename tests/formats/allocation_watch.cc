// Counts what the program asks of operator new, to prove that a number in a file sizes no allocation before it is checked.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "tests/formats/test_files.h"

namespace {

std::atomic<size_t> allocated{0};

void* Allocate(size_t size) noexcept {
  allocated.fetch_add(size, std::memory_order_relaxed);
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

namespace damask::formats::test {

AllocationWatch::AllocationWatch() : start_(allocated.load()) {}

size_t AllocationWatch::bytes() const { return allocated.load() - start_; }

}  // namespace damask::formats::test
