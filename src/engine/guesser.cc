#include "engine/guesser.h"

#include <algorithm>

#include "model/forward.h"

namespace damask::engine {
namespace {

// At most so many must agree, however wrong the guesses were: a long likeness is a quotation.
constexpr size_t kMostWanted = 16;

uint64_t HashOf(std::span<const tokenizer::TokenId> run) {
  uint64_t hash = 0;
  for (const tokenizer::TokenId id : run) hash = (hash ^ static_cast<uint64_t>(id)) * 0x9e3779b97f4a7c15u;
  return hash;
}

// How many tokens before `a` and before `b` are the same, at most `most`; a < b.
size_t Agreeing(std::span<const tokenizer::TokenId> text, size_t a, size_t b, size_t most) {
  size_t count = 0;
  while (count < most && count < a && text[a - 1 - count] == text[b - 1 - count]) ++count;
  return count;
}

}  // namespace

Guesser::Guesser(size_t most) : most_(std::min(most, model::kDecodeRows - 1)) {}

// All runs but the one at the very end, which is looked for.
void Guesser::Learn() {
  const std::span<const TokenId> text = text_;
  for (size_t end = std::max(learned_ + 1, kRun); end < text.size(); ++end) {
    ends_[HashOf(text.subspan(end - kRun, kRun))] = end;
  }
  learned_ = text_.size() - 1;
}

std::span<const tokenizer::TokenId> Guesser::Guess(std::span<const TokenId> text, TokenId next, uint64_t room) {
  guesses_.clear();
  if (most_ == 0) return guesses_;
  text_.insert(text_.end(), text.begin() + static_cast<std::ptrdiff_t>(text_.size()), text.end());
  text_.push_back(next);
  Learn();
  if (text_.size() <= kRun) return guesses_;
  const auto found = ends_.find(HashOf(std::span<const TokenId>(text_).last(kRun)));
  if (found == ends_.end()) return guesses_;
  const size_t end = found->second;
  const size_t agreeing = Agreeing(text_, end, text_.size(), std::max(wanted_, most_));
  if (agreeing < wanted_) return guesses_;  // or it is another run of the same hash
  const size_t count = std::min<uint64_t>({most_, agreeing, text_.size() - end, room});
  guesses_.assign(text_.begin() + static_cast<std::ptrdiff_t>(end), text_.begin() + static_cast<std::ptrdiff_t>(end + count));
  return guesses_;
}

void Guesser::Judge(size_t right) {
  if (2 * right < guesses_.size()) {
    wanted_ = std::min(wanted_ + 2, kMostWanted);
  } else if (wanted_ > kRun) {
    --wanted_;
  }
}

}  // namespace damask::engine
