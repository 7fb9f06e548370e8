#include "tokenizer/pre_tokenizer.h"

#include <utility>

namespace damask::tokenizer {
namespace {

// One piece of a step: a match, or the text between two.
struct Cut {
  WordRange range;
  bool is_match = false;
};

Status FindCuts(Regex::Matcher* matcher, std::string_view piece, uint32_t offset, bool invert, std::vector<Cut>* cuts) {
  const auto add = [&](size_t begin, size_t end, bool is_match) {
    if (begin == end) return;
    cuts->push_back({{offset + static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin)}, is_match != invert});
  };
  size_t done = 0;
  while (done < piece.size()) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<ByteRange> match, matcher->Next(piece, done));
    if (!match) break;
    add(done, match->begin, false);
    add(match->begin, match->end, true);
    done = match->end;
  }
  add(done, piece.size(), false);
  return {};
}

void Extend(WordRange* range, const WordRange& next) { range->size = next.begin + next.size - range->begin; }

// Both merging behaviours join a match to one neighbour; of several matches in a row only the first (seen from that side).
void JoinWithPrevious(const std::vector<Cut>& cuts, std::vector<WordRange>* words) {
  bool after_match = false;
  bool any = false;
  for (const Cut& cut : cuts) {
    if (cut.is_match && !after_match && any) {
      Extend(&words->back(), cut.range);
    } else {
      words->push_back(cut.range);
      any = true;
    }
    after_match = cut.is_match;
  }
}

void JoinWithNext(const std::vector<Cut>& cuts, std::vector<WordRange>* words) {
  std::vector<WordRange> backwards;
  bool before_match = false;
  for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
    if (cut->is_match && !before_match && !backwards.empty()) {
      WordRange joined = cut->range;
      Extend(&joined, backwards.back());
      backwards.back() = joined;
    } else {
      backwards.push_back(cut->range);
    }
    before_match = cut->is_match;
  }
  words->insert(words->end(), backwards.rbegin(), backwards.rend());
}

void AppendWords(const std::vector<Cut>& cuts, SplitBehavior behavior, std::vector<WordRange>* words) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      for (const Cut& cut : cuts) words->push_back(cut.range);
      return;
    case SplitBehavior::kRemoved:
      for (const Cut& cut : cuts) {
        if (!cut.is_match) words->push_back(cut.range);
      }
      return;
    case SplitBehavior::kContiguous:
      for (size_t i = 0; i < cuts.size(); ++i) {
        if (i > 0 && cuts[i].is_match == cuts[i - 1].is_match) {
          Extend(&words->back(), cuts[i].range);
        } else {
          words->push_back(cuts[i].range);
        }
      }
      return;
    case SplitBehavior::kMergedWithPrevious: JoinWithPrevious(cuts, words); return;
    case SplitBehavior::kMergedWithNext: JoinWithNext(cuts, words); return;
  }
}

}  // namespace

Status PreTokenizer::Split(std::string_view text, std::vector<WordRange>* words) const {
  words->clear();
  if (text.empty()) return {};
  if (text.size() > UINT32_MAX) return TooLarge("a text of 4 GiB or more between two special tokens");
  words->push_back({0, static_cast<uint32_t>(text.size())});
  std::vector<WordRange> next;
  std::vector<Cut> cuts;
  for (const SplitStep& step : steps_) {
    next.clear();
    next.reserve(words->size());
    Regex::Matcher matcher(step.regex, Regex::TimeFor(text.size()));
    for (const WordRange& word : *words) {
      cuts.clear();
      DAMASK_RETURN_IF_ERROR(FindCuts(&matcher, text.substr(word.begin, word.size), word.begin, step.invert, &cuts));
      AppendWords(cuts, step.behavior, &next);
    }
    std::swap(*words, next);
  }
  return {};
}

Result<PreTokenizer> MakePreTokenizer(const PreTokenizerRules& rules) {
  std::vector<SplitStep> steps;
  for (const std::string_view pattern : rules.patterns) {
    DAMASK_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
    steps.push_back({std::move(regex)});
  }
  return PreTokenizer(std::move(steps));
}

}  // namespace damask::tokenizer
