#include "policies/pooled_pages.h"

#include <algorithm>
#include <cstring>

#include "kernels/pooled_page.h"

namespace damask::policies {

using kernels::kMaxPoolShift;
using kernels::kPageTokens;

bool PyramidBlockReleased(const KeyPages& keys, uint64_t block) {
  const std::byte* const* const table = keys.pages + block * kPyramidBlockPages;
  return std::find(table, table + kPyramidBlockPages, nullptr) != table + kPyramidBlockPages;
}

void PooledPages::Append(const KeyPages& keys, uint64_t first, uint64_t end) {
  layout_ = *keys.layout;
  const uint64_t complete = end / kPyramidBlock;
  blocks_ = std::min(blocks_, first / kPyramidBlock);
  Resize(complete);
  for (; blocks_ < complete; ++blocks_) PoolBlock(keys, blocks_);
}

void PooledPages::PoolBlock(const KeyPages& keys, uint64_t block) {
  for (uint64_t page = block * kPyramidBlockPages; page < (block + 1) * kPyramidBlockPages; ++page) {
    if (keys.pages[page] == nullptr) continue;
    for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) {
      const size_t slot = (page * kPageTokens >> shift) % kPageTokens;
      kernels::PoolPage(layout_, keys.pages[page], shift, levels_[shift].storage[page >> shift].data(), slot);
    }
  }
}

void PooledPages::Resize(uint64_t blocks) {
  for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) {
    Level& level = levels_[shift];
    const size_t pages = ((blocks * kPyramidBlock >> shift) + kPageTokens - 1) / kPageTokens;
    level.storage.resize(std::min(level.storage.size(), pages));
    while (level.storage.size() < pages) {
      level.storage.emplace_back(layout_.bytes());
      std::memset(level.storage.back().data(), 0, layout_.bytes());
    }
    level.table.clear();
    for (const AlignedArray<std::byte>& page : level.storage) level.table.push_back(page.data());
  }
}

void PooledPages::Truncate(uint64_t length) {
  if (length / kPyramidBlock >= blocks_) return;
  blocks_ = length / kPyramidBlock;
  Resize(blocks_);
}

uint64_t PooledPages::bytes() const {
  uint64_t pages = 0;
  for (const Level& level : levels_) pages += level.storage.size();
  return pages * layout_.bytes();
}

}  // namespace damask::policies
