// The one Tokenizer there is: a vocabulary, the tokens found before all else, and an encoder for the text between them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/special_splitter.h"
#include "tokenizer/text_encoder.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace damask::tokenizer {

class VocabTokenizer : public Tokenizer {
 public:
  // Called once with the vocabulary in its final place.
  using MakeEncoder = std::function<Result<std::unique_ptr<TextEncoder>>(const Vocabulary&)>;

  static Result<std::unique_ptr<Tokenizer>> Create(Vocabulary vocabulary, const MakeEncoder& make_encoder,
                                                   std::string description, std::string chat_template);

  Result<std::vector<TokenId>> Encode(std::string_view text, Special special) const override;
  Result<std::vector<TokenId>> EncodeBehind(TokenId last, std::string_view text, Special special) const override;
  Result<std::vector<TokenId>> EncodeParts(std::span<const TextPart> parts) const override;
  std::string Piece(TokenId id, bool show_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool show_special) const override;
  size_t vocab_size() const override { return vocabulary_.size(); }
  const SpecialTokens& special() const override { return vocabulary_.special(); }
  bool IsEndOfGeneration(TokenId id) const override { return vocabulary_.IsEndOfGeneration(id); }
  bool IsControl(TokenId id) const override { return vocabulary_.IsKind(id, TokenKind::kControl); }
  bool adds_space_prefix() const override { return encoder_->adds_space(); }
  std::string description() const override { return description_; }
  const std::string& chat_template() const override { return chat_template_; }
  std::optional<TokenId> FindToken(std::string_view text) const override { return vocabulary_.Find(text); }

 private:
  VocabTokenizer(Vocabulary vocabulary, std::string description, std::string chat_template);
  // `first`: the place of text that stands at the beginning.
  Result<std::vector<TokenId>> EncodeRanges(std::string_view text, std::span<const ByteRange> parsed,
                                            FragmentPlace first) const;
  // All of it parsed, or nothing.
  Result<std::vector<TokenId>> EncodeWhole(std::string_view text, Special special, FragmentPlace first) const;

  Vocabulary vocabulary_;
  SpecialSplitter splitter_;
  std::unique_ptr<TextEncoder> encoder_;
  std::string description_;
  std::string chat_template_;
};

}  // namespace damask::tokenizer
