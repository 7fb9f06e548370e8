// Cuts text at the tokens that are found before anything else: control tokens where they may be, user-defined tokens always.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/regex.h"
#include "tokenizer/vocabulary.h"

namespace damask::tokenizer {

// A token found, or (token < 0) plain text between two of them.
struct Fragment {
  TokenId token = -1;
  size_t begin = 0;
  size_t end = 0;
};

class SpecialSplitter {
 public:
  // `vocabulary` must outlive it.
  explicit SpecialSplitter(const Vocabulary* vocabulary);

  // Longer tokens are looked for first, whatever comes before them in the text; among equals the leftmost wins. A control token
  // counts only inside one of `parsed` (sorted, disjoint). Fragments are in order, never empty. Thread-safe.
  // Tokens of more than 256 bytes are not looked for. Time: text bytes x different token lengths, and where many tokens begin
  // as the text does, x those lengths.
  std::vector<Fragment> Split(std::string_view text, std::span<const ByteRange> parsed) const;

 private:
  struct LengthGroup {
    size_t length = 0;
    std::bitset<256> first_bytes;
    std::unordered_map<std::string_view, TokenId> ids;
  };

  void SplitFragment(const LengthGroup& group, std::string_view text, std::span<const ByteRange> parsed,
                     const Fragment& fragment, std::vector<Fragment>* out) const;
  bool MayMatch(TokenId id, std::string_view text, size_t begin, std::span<const ByteRange> parsed) const;

  const Vocabulary* vocabulary_;
  std::vector<LengthGroup> groups_;  // longest first
};

}  // namespace damask::tokenizer
