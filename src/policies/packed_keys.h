// Keys of single positions side by side, as in pages, so that their scores are plain products (kernels::Scores).
#pragma once

#include <cstddef>
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
    constexpr size_t kTokens = kernels::kPageTokens;
    const size_t half = keys.layout->value_offset();  // the keys' half of a page
    const size_t num_pages = (count + kTokens - 1) / kTokens;
    bytes.resize(num_pages * half);
    pages.clear();
    for (size_t page = 0; page < num_pages; ++page) pages.push_back(bytes.data() + page * half);
    for (size_t i = 0; i < count; ++i) {
      const size_t position = position_of(i);
      const std::byte* const page = keys.pages[position / kTokens];
      if (page == nullptr) continue;
      kernels::CopyKey(*keys.layout, page, position % kTokens, bytes.data() + i / kTokens * half, i % kTokens);
    }
  }
};

}  // namespace damask::policies
