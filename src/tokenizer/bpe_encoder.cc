#include "tokenizer/bpe_encoder.h"

#include <algorithm>

#include "base/text.h"
#include "tokenizer/byte_alphabet.h"

namespace damask::tokenizer {

// Encodes the words of one text.
class BpeEncoder::Session {
 public:
  Session(const BpeEncoder& encoder, std::vector<TokenId>* ids) : e_(encoder), merger_(&encoder.merges_), ids_(ids) {}

  void EncodeWord(std::string_view word) {
    if (e_.options_.ignore_merges && TakeWhole(word)) return;
    symbols_.clear();
    if (e_.options_.byte_level) {
      for (const char byte : word) symbols_.push_back(e_.byte_symbols_[static_cast<unsigned char>(byte)]);
    } else {
      AppendCharacters(word);
    }
    merger_.Run(&symbols_, /*starts=*/nullptr);
    for (const Symbol symbol : symbols_) EmitSymbol(symbol);
  }

 private:
  bool TakeWhole(std::string_view word) {
    std::string_view text = word;
    if (e_.options_.byte_level) {
      characters_.clear();
      AppendByteCharacters(word, &characters_);
      text = characters_;
    }
    const std::optional<TokenId> id = e_.vocabulary_->FindPlain(text);
    if (id) ids_->push_back(*id);
    return id.has_value();
  }

  void AppendCharacters(std::string_view word) {
    bool after_unknown = false;
    while (!word.empty()) {
      const std::string_view character = word.substr(0, Utf8Length(word));
      word.remove_prefix(character.size());
      const std::optional<TokenId> id = e_.vocabulary_->FindPlain(character);
      const bool is_unknown = !id && !AppendBytes(character);
      if (id) {
        symbols_.push_back(static_cast<Symbol>(*id));
      } else if (is_unknown && e_.options_.unknown && !(after_unknown && e_.options_.join_unknown)) {
        symbols_.push_back(static_cast<Symbol>(*e_.options_.unknown));
      }
      after_unknown = is_unknown;
    }
  }

  bool AppendBytes(std::string_view character) {
    for (const char byte : character) {
      if (e_.byte_tokens_[static_cast<unsigned char>(byte)] < 0) return false;
    }
    for (const char byte : character)
      symbols_.push_back(static_cast<Symbol>(e_.byte_tokens_[static_cast<unsigned char>(byte)]));
    return true;
  }

  void EmitSymbol(Symbol symbol) {
    const size_t vocab_size = e_.vocabulary_->size();
    if (symbol < vocab_size) {
      ids_->push_back(static_cast<TokenId>(symbol));
      return;
    }
    // No token: its single bytes where those are tokens, as llama.cpp has it.
    for (const char c : e_.part_texts_[symbol - vocab_size]) {
      if (const std::optional<TokenId> id = e_.vocabulary_->FindPlain(std::string_view(&c, 1))) ids_->push_back(*id);
    }
  }

  const BpeEncoder& e_;
  Merger merger_;
  std::vector<TokenId>* ids_;
  std::vector<Symbol> symbols_;
  std::string characters_;
};

BpeEncoder::BpeEncoder(const Vocabulary* vocabulary, PreTokenizer pre_tokenizer, BpeOptions options,
                       const std::vector<MergePair>& merges)
    : vocabulary_(vocabulary), pre_tokenizer_(std::move(pre_tokenizer)), options_(options) {
  byte_tokens_.fill(-1);
  if (options_.byte_level) {
    for (size_t byte = 0; byte < 256; ++byte) byte_symbols_[byte] = SymbolOrNew(ByteCharacter(static_cast<uint8_t>(byte)));
  } else {
    if (options_.byte_fallback) byte_tokens_ = vocabulary->FindByteTokens();
    word_by_word_ = !options_.split_at_spaces && TokensStayInWords(*vocabulary);
  }
  AddMerges(merges);
}

Symbol BpeEncoder::SymbolOrNew(std::string_view text) {
  if (const std::optional<TokenId> id = vocabulary_->FindPlain(text)) return static_cast<Symbol>(*id);
  const auto [entry, is_new] = parts_.emplace(text, static_cast<Symbol>(vocabulary_->size() + part_texts_.size()));
  if (is_new) part_texts_.emplace_back(text);
  return entry->second;
}

void BpeEncoder::AddMerges(const std::vector<MergePair>& merges) {
  std::string result;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    result.assign(left);
    result += right;
    merges_.Add(SymbolOrNew(left), SymbolOrNew(right), {static_cast<uint32_t>(rank), SymbolOrNew(result)});
  }
}

std::string BpeEncoder::Prepare(std::string_view fragment, FragmentPlace place) const {
  // At byte level the mark is a character like others.
  const bool has_space = fragment[0] == ' ' || (!options_.byte_level && fragment.starts_with(kSpaceMark));
  bool prefix = false;
  switch (options_.space_prefix) {
    case SpacePrefix::kNone: break;
    case SpacePrefix::kAlways: prefix = true; break;
    case SpacePrefix::kUnlessThere: prefix = !has_space; break;
    case SpacePrefix::kStartOfText: prefix = !has_space && place == FragmentPlace::kStartOfText; break;
  }
  if (place == FragmentPlace::kWithinText) prefix = false;
  std::string text = prefix ? " " : "";
  text += fragment;
  return options_.byte_level ? text : ReplaceAll(text, " ", kSpaceMark);
}

Status BpeEncoder::SplitWords(std::string_view text, std::vector<WordRange>* words) const {
  DAMASK_RETURN_IF_ERROR(pre_tokenizer_.Split(text, words));
  if (!options_.split_at_spaces && !word_by_word_) return {};
  std::vector<WordRange> finer;
  for (const WordRange& word : *words) {
    for (uint32_t at = word.begin; at < word.begin + word.size;) {
      const std::string_view rest = text.substr(at, word.begin + word.size - at);
      size_t length = WordLength(rest);
      if (options_.split_at_spaces && rest.substr(0, kSpaceMark.size()) == kSpaceMark) {
        length = std::min(rest.find(kSpaceMark, kSpaceMark.size()), rest.size());
      }
      finer.push_back({at, static_cast<uint32_t>(length)});
      at += static_cast<uint32_t>(length);
    }
  }
  std::swap(*words, finer);
  return {};
}

Status BpeEncoder::Encode(std::string_view fragment, FragmentPlace place, std::vector<TokenId>* ids) const {
  std::string prepared;
  std::string_view text = fragment;
  if (!options_.byte_level || options_.space_prefix != SpacePrefix::kNone) {
    prepared = Prepare(fragment, place);
    text = prepared;
  }
  std::vector<WordRange> words;
  DAMASK_RETURN_IF_ERROR(SplitWords(text, &words));
  Session session(*this, ids);
  for (const WordRange& word : words) session.EncodeWord(text.substr(word.begin, word.size));
  return {};
}

std::string BpeEncoder::DecodeText(std::string_view token_text) const {
  return options_.byte_level ? FromByteCharacters(token_text) : ReplaceAll(token_text, kSpaceMark, " ");
}

}  // namespace damask::tokenizer
