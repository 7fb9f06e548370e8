// Keys of single positions side by side, as in pages, so that their scores are plain products (kernels::Scores).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "policies/policy.h"

namespace damask::policies {

// Memory is kept between uses.
struct PackedKeys {
  std::vector<std::byte> bytes;
  std::vector<const std::byte*> pages;

  // The keys at position_of(0), ..., position_of(count - 1). In the place of one on a released page stands any key, whose score
  // means nothing; plans leave it out.
  template <class PositionOf>
  void Pack(const KeyPages& keys, size_t count, const PositionOf& position_of) {
    Resize(keys, count);
    for (size_t i = 0; i < count; ++i) Copy(keys, position_of(i), 1, i);
  }
  // The keys of these blocks of `block` positions, a divisor of kPageTokens.
  void PackBlocks(const KeyPages& keys, std::span<const uint32_t> blocks, size_t block) {
    Resize(keys, blocks.size() * block);
    for (size_t i = 0; i < blocks.size(); ++i) Copy(keys, blocks[i] * block, block, i * block);
  }

 private:
  static constexpr size_t kTokens = kernels::kPageTokens;

  void Resize(const KeyPages& keys, size_t count) {
    const size_t half = keys.layout->value_offset();  // the keys' half of a page
    const size_t num_pages = (count + kTokens - 1) / kTokens;
    bytes.resize(num_pages * half);
    pages.clear();
    for (size_t page = 0; page < num_pages; ++page) pages.push_back(bytes.data() + page * half);
  }
  // Positions from `position` on to those from `to` on; both within a page.
  void Copy(const KeyPages& keys, size_t position, size_t count, size_t to) {
    const std::byte* const page = keys.pages[position / kTokens];
    if (page == nullptr) return;
    std::byte* const target = bytes.data() + to / kTokens * keys.layout->value_offset();
    kernels::CopyKeys(*keys.layout, page, position % kTokens, target, to % kTokens, count);
  }
};

}  // namespace damask::policies
