#include "tokenizer/spm_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace damask::tokenizer {
namespace {

// Longer words do not go through the library. Words of any language are far shorter; long runs of one character are not.
constexpr size_t kMaxLibraryWord = 1024;
// A longer token cannot come out of merging. It bounds the work of finding how tokens can be made, which is quadratic in their
// length; the longest of real vocabularies have less than 200 bytes.
constexpr size_t kMaxMergedBytes = 256;
// Words of one text whose ids are remembered.
constexpr size_t kMaxRememberedWords = 1 << 16;

}  // namespace

Result<std::unique_ptr<SpmEncoder>> SpmEncoder::Create(const Vocabulary* vocabulary, SpmOptions options) {
  std::unique_ptr<SpmEncoder> encoder(new SpmEncoder(vocabulary, options));
  DAMASK_RETURN_IF_ERROR(encoder->FindMergeable());
  encoder->word_by_word_ = TokensStayInWords(*vocabulary);
  encoder->BuildMergeTable();
  DAMASK_ASSIGN_OR_RETURN(encoder->model_, SpmModel::Create(*vocabulary, encoder->mergeable_));
  return encoder;
}

Status SpmEncoder::FindMergeable() {
  byte_tokens_ = vocabulary_->FindByteTokens();
  const auto missing = std::count(byte_tokens_.begin(), byte_tokens_.end(), TokenId{-1});
  if (missing > 0) {
    return BadFormat(
        fmt::format("the vocabulary lacks {} of the 256 byte tokens (<0x00> to <0xFF>), without which text cannot be "
                    "written in it",
                    missing));
  }
  mergeable_.resize(vocabulary_->size());
  for (size_t i = 0; i < vocabulary_->size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const Token& token = vocabulary_->token(id);
    if (token.kind == TokenKind::kByte && !ParseByteToken(token.text)) {
      return BadFormat(fmt::format("token {} is a byte token, but its text is {}, expected two hex digits as in '<0x0A>'", i,
                                   Quote(token.text)));
    }
    if (!std::isfinite(token.score)) return BadFormat(fmt::format("the score of token {} is not a finite number", i));
    const bool is_word = token.kind == TokenKind::kNormal || token.kind == TokenKind::kUserDefined ||
                         token.kind == TokenKind::kUnused || token.kind == TokenKind::kUndefined;
    mergeable_[i] = is_word && !token.text.empty() && token.text.size() <= kMaxMergedBytes && !ParseByteToken(token.text) &&
                    vocabulary_->Find(token.text) == id && IsValidUtf8(token.text);
  }
  return {};
}

Symbol SpmEncoder::SymbolOf(std::string_view character) const {
  const std::optional<TokenId> id = vocabulary_->Find(character);
  if (id && mergeable_[static_cast<size_t>(*id)]) return static_cast<Symbol>(*id);
  const auto found = characters_.find(character);
  return found == characters_.end() ? kNoSymbol : found->second;
}

// Every way in which two symbols give this token: both sides tokens or single characters.
void SpmEncoder::AddSplits(TokenId id, uint32_t rank) {
  const std::string_view text = vocabulary_->token(id).text;
  for (size_t cut = Utf8Length(text); cut < text.size(); cut += Utf8Length(text.substr(cut))) {
    const Symbol left = SymbolOf(text.substr(0, cut));
    const Symbol right = SymbolOf(text.substr(cut));
    if (left != kNoSymbol && right != kNoSymbol) merges_.Add(left, right, {rank, static_cast<Symbol>(id)});
  }
}

void SpmEncoder::BuildMergeTable() {
  std::vector<TokenId> by_score;
  for (size_t i = 0; i < mergeable_.size(); ++i) {
    if (!mergeable_[i]) continue;
    by_score.push_back(static_cast<TokenId>(i));
    const std::string_view text = vocabulary_->token(static_cast<TokenId>(i)).text;
    for (size_t at = 0; at < text.size();) {
      const std::string_view character = text.substr(at, Utf8Length(text.substr(at)));
      at += character.size();
      if (SymbolOf(character) == kNoSymbol) {
        characters_.emplace(character, static_cast<Symbol>(vocabulary_->size() + characters_.size()));
      }
    }
  }
  std::sort(by_score.begin(), by_score.end(),
            [&](TokenId a, TokenId b) { return vocabulary_->token(a).score > vocabulary_->token(b).score; });
  // Equal scores are an equal rank: position decides between them.
  uint32_t rank = 0;
  for (size_t i = 0; i < by_score.size(); ++i) {
    if (i > 0 && vocabulary_->token(by_score[i]).score != vocabulary_->token(by_score[i - 1]).score) ++rank;
    AddSplits(by_score[i], rank);
  }
}

Status SpmEncoder::EncodeByMerging(std::string_view text, std::vector<TokenId>* ids) const {
  if (text.size() > UINT32_MAX) return TooLarge("a text of 4 GiB or more without a word border");
  std::vector<Symbol> symbols;
  std::vector<uint32_t> starts;
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8Length(text.substr(at));
    symbols.push_back(SymbolOf(text.substr(at, length)));
    starts.push_back(static_cast<uint32_t>(at));
    at += length;
  }
  Merger(&merges_).Run(&symbols, &starts);
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i] < vocabulary_->size()) {
      ids->push_back(static_cast<TokenId>(symbols[i]));
      continue;
    }
    const size_t end = i + 1 < symbols.size() ? starts[i + 1] : text.size();
    for (const char byte : text.substr(starts[i], end - starts[i]))
      ids->push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
  }
  return {};
}

Status SpmEncoder::Encode(std::string_view fragment, FragmentPlace place, std::vector<TokenId>* ids) const {
  std::string text;
  if (options_.add_space_prefix && place != FragmentPlace::kWithinText) text = kSpaceMark;
  text += ReplaceAll(fragment, " ", kSpaceMark);
  if (!word_by_word_) return EncodeByMerging(text, ids);

  struct Remembered {
    size_t begin, count;
  };
  std::unordered_map<std::string_view, Remembered> words;
  std::vector<TokenId> remembered;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, WordLength(rest));
    rest.remove_prefix(word.size());
    if (word.size() > kMaxLibraryWord) {
      DAMASK_RETURN_IF_ERROR(EncodeByMerging(word, ids));
      continue;
    }
    const auto known = words.find(word);
    if (known != words.end()) {
      const auto begin = remembered.begin() + static_cast<ptrdiff_t>(known->second.begin);
      ids->insert(ids->end(), begin, begin + static_cast<ptrdiff_t>(known->second.count));
      continue;
    }
    const size_t before = ids->size();
    DAMASK_RETURN_IF_ERROR(EncodeByLibrary(word, ids));
    if (words.size() < kMaxRememberedWords) {
      words.emplace(word, Remembered{remembered.size(), ids->size() - before});
      remembered.insert(remembered.end(), ids->begin() + static_cast<ptrdiff_t>(before), ids->end());
    }
  }
  return {};
}

std::string SpmEncoder::DecodeText(std::string_view token_text) const { return ReplaceAll(token_text, kSpaceMark, " "); }

}  // namespace damask::tokenizer
