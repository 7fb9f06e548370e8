// What a state that each chunk changes was before the last one: a chunk that is broken off leaves no trace, and a session that
// goes back a little need not read its text anew.
#pragma once

#include <algorithm>
#include <cstdint>

namespace damask::policies {

// Kept is what a state is made of, and has `end`: behind the last row that changed it.
template <class Kept>
struct BeforeChunk {
  Kept kept;
  uint64_t begin = 0;  // of the chunk: rows from kept.end to here (drawn tokens) changed nothing

  // A chunk that begins at `first` will change `now`.
  void Begin(const Kept& now, uint64_t first) {
    kept = now;
    begin = first;
  }

  // Whether `kept` is the very state of a text of this length.
  bool IsOf(uint64_t length) const { return kept.end <= length && length <= begin; }

  // The longest length up to `length` whose state there still is, where `now` is what the chunk made of `kept`.
  uint64_t ExactLength(const Kept& now, uint64_t length) const {
    if (length >= now.end) return length;
    return length >= kept.end ? std::min(length, begin) : 0;
  }
};

}  // namespace damask::policies
