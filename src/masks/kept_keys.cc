#include "masks/kept_keys.h"

#include <algorithm>

#include "masks/quarters.h"

namespace damask::masks {
namespace {

void AddPatterns(const Patterns& patterns, uint64_t query, std::vector<KeySpan>* keys) {
  for (const DiagonalInterval& interval : patterns.diagonals) {
    if (interval.begin > query) break;
    keys->push_back({query + 1 - std::min<uint64_t>(interval.end, query + 1), query + 1 - interval.begin});
  }
  for (const Vertical& vertical : patterns.verticals) {
    if (vertical.column > query) break;
    keys->push_back({vertical.column, uint64_t{vertical.column} + 1});
  }
}

}  // namespace

void KeptKeys(const HeadMask& head, const Parameters& parameters, uint64_t query, std::vector<KeySpan>* keys) {
  keys->clear();
  const uint64_t end = query + 1;
  if (head.treatment != Treatment::kStatic) {
    keys->push_back({0, end});
  } else if (head.form == StaticForm::kWindow) {
    keys->push_back({0, std::min<uint64_t>(head.window_sinks, end)});
    keys->push_back({end - std::min<uint64_t>(head.window, end), end});
  } else {
    keys->push_back({0, std::min<uint64_t>(parameters.sink_keys, end)});
    keys->push_back({query, end});
    if (query < parameters.capture_length) {
      for (const KeyRange& run : head.true_mask.row(query)) keys->push_back({run.begin, run.end});
    } else {
      AddPatterns(head.patterns, query, keys);
    }
  }
  SortAndJoin(keys);
}

}  // namespace damask::masks
