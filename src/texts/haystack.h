// Facts hidden in prose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace damask::texts {

struct PlacedFact {
  size_t before = 0;  // the sentence that it stands before; the number of sentences: behind all
  std::string line;   // with its newline
};

// `sentences` sentences of prose (prose.h; the order is drawn from `seed`) with the facts on lines of their own; a paragraph is
// broken where a fact stands in it. Facts with the same place keep their order.
std::string Haystack(size_t sentences, uint64_t seed, std::vector<PlacedFact> facts);

}  // namespace damask::texts
