#include "engine/by_halves.h"

#include <vector>

namespace damask::engine {
namespace {

struct Range {
  size_t begin;
  size_t end;
  bool first_half;     // the second one is the next open range
  bool known_to_fail;  // together with what has been taken so far it is what failed before
};

}  // namespace

Status TakeByHalves(size_t items, uint64_t most_tries, const TakeItems& take) {
  std::vector<Range> open = {{.begin = 0, .end = items, .first_half = false, .known_to_fail = items == 0}};
  for (uint64_t tries = 0; !open.empty();) {
    const Range range = open.back();
    open.pop_back();
    if (!range.known_to_fail) {
      if (tries == most_tries) break;
      ++tries;
      DAMASK_ASSIGN_OR_RETURN(const bool taken, take(range.begin, range.end));
      if (taken) {
        if (range.first_half) open.back().known_to_fail = true;
        continue;
      }
    }
    if (range.end - range.begin < 2) continue;
    const size_t middle = range.begin + (range.end - range.begin + 1) / 2;
    open.push_back({.begin = middle, .end = range.end, .first_half = false, .known_to_fail = false});
    open.push_back({.begin = range.begin, .end = middle, .first_half = true, .known_to_fail = false});
  }
  return {};
}

}  // namespace damask::engine
