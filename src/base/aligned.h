// A block of memory aligned for the widest vector, owned, without a constructor run over it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace damask {

inline constexpr size_t kCacheLine = 64;

struct FreeDeleter {
  void operator()(void* pointer) const { std::free(pointer); }
};

// At least `bytes`, to be given back with free(); null where there is no memory. Aligned to a cache line; from kHugePage on to
// a huge page, and the system is asked for huge pages: attention and decode read caches and weights from end to end.
inline constexpr size_t kHugePage = size_t{2} << 20;
void* AllocateAligned(size_t bytes);

// `count` objects of a trivial T, 64-byte aligned, uninitialised. Throws std::bad_alloc (caught at the engine's border).
template <typename T>
class AlignedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T> && alignof(T) <= kCacheLine);

 public:
  AlignedArray() = default;
  AlignedArray(AlignedArray&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  AlignedArray& operator=(AlignedArray&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  explicit AlignedArray(size_t count) : size_(count) {
    if (count == 0) return;
    if (count > (SIZE_MAX - kCacheLine) / sizeof(T)) throw std::bad_alloc();
    data_.reset(static_cast<T*>(AllocateAligned(count * sizeof(T))));
    if (!data_) throw std::bad_alloc();
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](size_t index) { return data_.get()[index]; }
  const T& operator[](size_t index) const { return data_.get()[index]; }

  // Grows to at least `count` objects; what was in it is lost. Never shrinks.
  void Reserve(size_t count) {
    if (count <= size_) return;
    *this = AlignedArray();  // given back first, so that both are never held at once
    *this = AlignedArray(count);
  }

 private:
  std::unique_ptr<T[], FreeDeleter> data_;
  size_t size_ = 0;
};

// Of these one copy stands in the library (aligned.cc): kernels compiled for wider instruction sets use them too, and the
// linker could take their copy of a function for all.
extern template class AlignedArray<std::byte>;
extern template class AlignedArray<float>;
extern template class AlignedArray<uint16_t>;

}  // namespace damask
