#include "base/nearest.h"

#include <algorithm>

#include "base/text.h"

namespace damask {
namespace {

// Edits (insert, remove, replace, swap neighbours) from `a` to `b`: optimal string alignment.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.size()][b.size()];
}

std::string_view WithoutDashes(std::string_view name) {
  const size_t begin = name.find_first_not_of('-');
  return begin == std::string_view::npos ? std::string_view() : name.substr(begin);
}

}  // namespace

std::string Nearest(std::string_view name, const std::vector<std::string>& known) {
  constexpr size_t kLongestName = 40;  // longer text is no misspelt name
  const std::string_view plain = WithoutDashes(name);
  if (plain.empty() || plain.size() > kLongestName) return {};
  std::string best;
  size_t best_distance = std::max<size_t>(1, (plain.size() + 1) / 3) + 1;
  std::string begun;
  size_t begun_count = 0;
  for (const std::string& candidate : known) {
    const std::string_view other = WithoutDashes(candidate);
    const size_t distance = EditDistance(plain, other);
    // One letter is near every other letter: that is no hint.
    if (distance < best_distance && other.size() > 1) {
      best_distance = distance;
      best = candidate;
    }
    if (plain.size() > 1 && other.substr(0, plain.size()) == plain) {
      begun = candidate;
      ++begun_count;
    }
  }
  return best.empty() && begun_count == 1 ? begun : best;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& known) {
  const std::string nearest = Nearest(name, known);
  return nearest.empty() ? std::string() : ": did you mean " + Quote(nearest) + "?";
}

}  // namespace damask
