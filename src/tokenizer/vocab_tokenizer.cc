#include "tokenizer/vocab_tokenizer.h"

#include <fmt/format.h>

#include <new>
#include <utility>

#include "base/limits.h"
#include "base/text.h"

namespace damask::tokenizer {
namespace {

// Where the first invalid byte is; the size where there is none.
size_t FindInvalidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t length = Utf8Length(text.substr(at, 4));
    if (length == 0) break;
    at += length;
  }
  return at;
}

Status CheckText(std::string_view text) {
  if (text.size() > limits::kMaxTextFileBytes) {
    return TooLarge(fmt::format("a text of {} bytes, at most {} are taken", text.size(), limits::kMaxTextFileBytes));
  }
  const size_t invalid = FindInvalidUtf8(text);
  if (invalid < text.size()) {
    return InvalidArgument(
        fmt::format("the text is not valid UTF-8 at byte {}: found {}", invalid, Quote(text.substr(invalid, 8))));
  }
  return {};
}

}  // namespace

VocabTokenizer::VocabTokenizer(Vocabulary vocabulary, std::string description, std::string chat_template)
    : vocabulary_(std::move(vocabulary)),
      splitter_(&vocabulary_),
      description_(std::move(description)),
      chat_template_(std::move(chat_template)) {}

Result<std::unique_ptr<Tokenizer>> VocabTokenizer::Create(Vocabulary vocabulary, const MakeEncoder& make_encoder,
                                                          std::string description, std::string chat_template) {
  std::unique_ptr<VocabTokenizer> tokenizer(
      new VocabTokenizer(std::move(vocabulary), std::move(description), std::move(chat_template)));
  DAMASK_ASSIGN_OR_RETURN(tokenizer->encoder_, make_encoder(tokenizer->vocabulary_));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

Result<std::vector<TokenId>> VocabTokenizer::EncodeRanges(std::string_view text, std::span<const ByteRange> parsed,
                                                          FragmentPlace first) const {
  DAMASK_RETURN_IF_ERROR(CheckText(text));
  try {
    std::vector<TokenId> ids;
    for (const Fragment& fragment : splitter_.Split(text, parsed)) {
      if (fragment.token >= 0) {
        ids.push_back(fragment.token);
        continue;
      }
      const FragmentPlace place = fragment.begin == 0 ? first : FragmentPlace::kAfterToken;
      DAMASK_RETURN_IF_ERROR(encoder_->Encode(text.substr(fragment.begin, fragment.end - fragment.begin), place, &ids));
    }
    return ids;
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("not enough memory to tokenize a text of {} bytes", text.size()));
  }
}

Result<std::vector<TokenId>> VocabTokenizer::EncodeWhole(std::string_view text, Special special, FragmentPlace first) const {
  const ByteRange all = {0, text.size()};
  return EncodeRanges(text, std::span<const ByteRange>(&all, special == Special::kParse ? 1 : 0), first);
}

Result<std::vector<TokenId>> VocabTokenizer::Encode(std::string_view text, Special special) const {
  return EncodeWhole(text, special, FragmentPlace::kStartOfText);
}

Result<std::vector<TokenId>> VocabTokenizer::EncodeBehind(TokenId last, std::string_view text, Special special) const {
  const bool within = vocabulary_.IsKind(last, TokenKind::kNormal) || vocabulary_.IsKind(last, TokenKind::kByte);
  return EncodeWhole(text, special, within ? FragmentPlace::kWithinText : FragmentPlace::kAfterToken);
}

Result<std::vector<TokenId>> VocabTokenizer::EncodeParts(std::span<const TextPart> parts) const {
  std::string text;
  std::vector<ByteRange> parsed;
  for (const TextPart& part : parts) {
    const size_t begin = text.size();
    text += part.text;
    if (part.special == Special::kPlain || part.text.empty()) continue;
    if (!parsed.empty() && parsed.back().end == begin) {
      parsed.back().end = text.size();
    } else {
      parsed.push_back({begin, text.size()});
    }
  }
  return EncodeRanges(text, parsed, FragmentPlace::kStartOfText);
}

std::string VocabTokenizer::Piece(TokenId id, bool show_special) const {
  if (!vocabulary_.Has(id)) return {};
  const Token& token = vocabulary_.token(id);
  switch (token.kind) {
    case TokenKind::kControl:
    case TokenKind::kUnknown: return show_special || token.shown ? token.text : std::string();
    case TokenKind::kUserDefined: return token.text;
    case TokenKind::kByte: {
      const std::optional<uint8_t> byte = ParseByteToken(token.text);
      return byte ? std::string(1, static_cast<char>(*byte)) : std::string();
    }
    case TokenKind::kNormal: return encoder_->DecodeText(token.text);
    case TokenKind::kUnused:
    case TokenKind::kUndefined: return {};
  }
  return {};
}

std::string VocabTokenizer::Decode(std::span<const TokenId> ids, bool show_special) const {
  std::string out;
  bool at_start = adds_space_prefix();
  for (const TokenId id : ids) {
    const std::string piece = Piece(id, show_special);
    const bool drop_space = at_start && !IsControl(id) && !piece.empty() && piece[0] == ' ';
    at_start &= IsControl(id) || piece.empty();
    out += drop_space ? std::string_view(piece).substr(1) : std::string_view(piece);
  }
  return out;
}

}  // namespace damask::tokenizer
