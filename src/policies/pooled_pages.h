// The pyramid of a KV head's cache: means of 2, 4 and 8 consecutive keys and values, in pages that the kernels run over.
// Source: Pyramid Sparse Attention (arXiv 2512.04025).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "kernels/plan.h"
#include "policies/policy.h"

namespace damask::policies {

// A key block is what is pooled or not as one: two pages, which are 4, 2 or 1 quarters of a pooled page.
inline constexpr uint64_t kPyramidBlock = 2 * kernels::kPageTokens;
inline constexpr size_t kPyramidBlockQuarters = kPyramidBlock / kernels::kQuarterTokens;
inline constexpr uint64_t kPyramidBlockPages = kPyramidBlock / kernels::kPageTokens;

// Whether a page of the key block was released.
bool PyramidBlockReleased(const KeyPages& keys, uint64_t block);

// Of one KV head of one layer. Only complete key blocks are pooled: the keys of the last one are still coming.
class PooledPages {
 public:
  // Takes in the key blocks that [first, end) completes. What lies on released pages is not pooled.
  void Append(const KeyPages& keys, uint64_t first, uint64_t end);
  // A block that is cut is pooled again once it is complete again.
  void Truncate(uint64_t length);

  // Key blocks that are pooled.
  uint64_t blocks() const { return blocks_; }
  const kernels::PageLayout& layout() const { return layout_; }
  // As kernels::PooledEntry has them; shift 1 to kernels::kMaxPoolShift. Valid until the next Append or Truncate.
  const std::byte* const* pages(size_t shift) const { return levels_[shift].table.data(); }
  uint64_t bytes() const;

 private:
  struct Level {
    std::vector<AlignedArray<std::byte>> storage;
    std::vector<const std::byte*> table;
  };
  void Resize(uint64_t blocks);
  void PoolBlock(const KeyPages& keys, uint64_t block);

  uint64_t blocks_ = 0;
  kernels::PageLayout layout_;
  std::array<Level, kernels::kMaxPoolShift + 1> levels_;  // of shift 0 nothing: that is the cache itself
};

}  // namespace damask::policies
