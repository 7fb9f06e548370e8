// Memory that ends, or begins, at a page that may not be touched: a kernel that goes too far ends the test.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace damask::kernels {

enum class Edge { kBegin, kEnd };  // where the bytes meet the page

class GuardedBytes {
 public:
  // Zeros.
  GuardedBytes(size_t size, Edge edge) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (size + page - 1) / page * page;
    length_ = inner + 2 * page;
    void* const mapped = mmap(nullptr, length_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::runtime_error("mmap failed");
    base_ = static_cast<std::byte*>(mapped);
    if (mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0) throw std::runtime_error("mprotect failed");
    data_ = base_ + page + (edge == Edge::kEnd ? inner - size : 0);
  }
  // A copy of `values`.
  template <typename T>
  GuardedBytes(const std::vector<T>& values, Edge edge) : GuardedBytes(values.size() * sizeof(T), edge) {
    std::memcpy(data_, values.data(), values.size() * sizeof(T));
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, length_); }

  std::byte* data() { return data_; }
  float* floats() { return reinterpret_cast<float*>(data_); }

 private:
  size_t length_ = 0;
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace damask::kernels
