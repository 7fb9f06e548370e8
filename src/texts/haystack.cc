#include "texts/haystack.h"

#include <algorithm>

#include "texts/prose.h"

namespace damask::texts {

std::string Haystack(size_t sentences, uint64_t seed, std::vector<PlacedFact> facts) {
  std::stable_sort(facts.begin(), facts.end(), [](const PlacedFact& a, const PlacedFact& b) { return a.before < b.before; });
  std::string text;
  const auto end_line = [&] {
    if (text.empty() || text.back() == '\n') return;
    if (text.back() == ' ') text.pop_back();
    text += '\n';
  };
  auto fact = facts.begin();
  ProseReader reader(seed);
  for (size_t i = 0; i <= sentences; ++i) {
    for (; fact != facts.end() && fact->before <= i; ++fact) {
      end_line();
      text += fact->line;
    }
    if (i == sentences) break;
    const ProseSentence sentence = reader.Next();
    text += sentence.text;
    text += sentence.ends_paragraph ? '\n' : ' ';
  }
  end_line();
  return text;
}

}  // namespace damask::texts
