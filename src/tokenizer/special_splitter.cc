#include "tokenizer/special_splitter.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/log.h"
#include "base/text.h"

namespace damask::tokenizer {
namespace {

// Looking for a token takes its length wherever it may begin. The longest of real vocabularies, runs of spaces, have some 100.
constexpr size_t kMaxTokenBytes = 256;

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Whether the character at the start of `text` belongs to a word (\w).
bool StartsWithWord(std::string_view text) {
  static const Result<Regex> word = Regex::Compile("\\A\\w");
  const size_t length = Utf8Length(text);
  if (length == 0 || !word.ok()) return false;
  const Result<std::optional<ByteRange>> match = Regex::Matcher(*word).Next(text.substr(0, length), 0);
  return match.ok() && match->has_value();
}

bool EndsWithWord(std::string_view text) {
  size_t start = text.size();
  while (start > 0 && text.size() - start < 4) {
    --start;
    if ((static_cast<unsigned char>(text[start]) & 0xc0) != 0x80) return StartsWithWord(text.substr(start));
  }
  return false;
}

}  // namespace

SpecialSplitter::SpecialSplitter(const Vocabulary* vocabulary) : vocabulary_(vocabulary) {
  std::map<size_t, LengthGroup, std::greater<>> by_length;
  size_t num_long = 0;
  for (size_t i = 0; i < vocabulary->size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const Token& token = vocabulary->token(id);
    // A text that is not UTF-8 would cut characters, and whoever comes behind relies on whole ones.
    if (token.text.empty() || !IsSpecial(token.kind) || !IsValidUtf8(token.text)) continue;
    if (token.text.size() > kMaxTokenBytes) {
      ++num_long;
      continue;
    }
    LengthGroup& group = by_length[token.text.size()];
    group.length = token.text.size();
    group.first_bytes.set(static_cast<unsigned char>(token.text[0]));
    group.ids.emplace(token.text, id);
  }
  for (auto& [length, group] : by_length) groups_.push_back(std::move(group));
  if (num_long > 0) {
    LogWarning(
        fmt::format("{} special tokens have more than {} bytes and are not looked for in texts", num_long, kMaxTokenBytes));
  }
}

bool SpecialSplitter::MayMatch(TokenId id, std::string_view text, size_t begin, std::span<const ByteRange> parsed) const {
  const Token& token = vocabulary_->token(id);
  const size_t end = begin + token.text.size();
  if (token.kind != TokenKind::kUserDefined) {
    const auto after = std::upper_bound(parsed.begin(), parsed.end(), begin,
                                        [](size_t position, const ByteRange& range) { return position < range.begin; });
    if (after == parsed.begin() || end > std::prev(after)->end) return false;
  }
  return !token.single_word || (!EndsWithWord(text.substr(0, begin)) && !StartsWithWord(text.substr(end)));
}

void SpecialSplitter::SplitFragment(const LengthGroup& group, std::string_view text, std::span<const ByteRange> parsed,
                                    const Fragment& fragment, std::vector<Fragment>* out) const {
  size_t raw_begin = fragment.begin;
  size_t position = fragment.begin;
  while (position + group.length <= fragment.end) {
    if (!group.first_bytes[static_cast<unsigned char>(text[position])]) {
      ++position;
      continue;
    }
    const auto found = group.ids.find(text.substr(position, group.length));
    if (found == group.ids.end() || !MayMatch(found->second, text, position, parsed)) {
      ++position;
      continue;
    }
    const Token& token = vocabulary_->token(found->second);
    size_t raw_end = position;
    while (token.lstrip && raw_end > raw_begin && IsSpace(text[raw_end - 1])) --raw_end;
    if (raw_end > raw_begin) out->push_back({-1, raw_begin, raw_end});
    out->push_back({found->second, position, position + group.length});
    position += group.length;
    while (token.rstrip && position < fragment.end && IsSpace(text[position])) ++position;
    raw_begin = position;
  }
  if (raw_begin < fragment.end) out->push_back({-1, raw_begin, fragment.end});
}

std::vector<Fragment> SpecialSplitter::Split(std::string_view text, std::span<const ByteRange> parsed) const {
  std::vector<Fragment> fragments;
  if (text.empty()) return fragments;
  fragments.push_back({-1, 0, text.size()});
  std::vector<Fragment> next;
  for (const LengthGroup& group : groups_) {
    next.clear();
    for (const Fragment& fragment : fragments) {
      if (fragment.token >= 0) {
        next.push_back(fragment);
      } else {
        SplitFragment(group, text, parsed, fragment, &next);
      }
    }
    std::swap(fragments, next);
  }
  return fragments;
}

}  // namespace damask::tokenizer
