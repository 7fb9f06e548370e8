// Text that arrives in pieces and is searched for a mark: how much of it must wait for the next piece.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace damask {

// How many last bytes of `text` may be the beginning of `mark`, not the whole of it. `mark` is not empty.
inline size_t TailThatMayBegin(std::string_view text, std::string_view mark) {
  size_t n = std::min(text.size(), mark.size() - 1);
  while (n > 0 && !text.ends_with(mark.substr(0, n))) --n;
  return n;
}

}  // namespace damask
