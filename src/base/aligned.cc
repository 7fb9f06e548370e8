#include "base/aligned.h"

#include <cstdlib>

#include <sys/mman.h>

namespace damask {

void* AllocateAligned(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  if (bytes > SIZE_MAX - alignment) return nullptr;
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#ifdef MADV_HUGEPAGE
  // Only whole huge pages, so that none is taken for a remainder. A wish: where it is refused, small pages serve.
  if (memory != nullptr && bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return memory;
}

template class AlignedArray<std::byte>;
template class AlignedArray<float>;
template class AlignedArray<uint16_t>;

}  // namespace damask
