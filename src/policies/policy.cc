#include "policies/policy.h"

#include <atomic>

namespace damask::policies {

Policy::Policy() {
  static std::atomic<uint64_t> next{1};
  id_ = next.fetch_add(1, std::memory_order_relaxed);
}

bool Policy::MayRelease(size_t, size_t, size_t, uint64_t, const PolicyState*) const { return false; }

}  // namespace damask::policies
