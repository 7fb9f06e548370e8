// The tokens of a model: their texts, kinds and scores, the special ones among them, and which end a generation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace damask::tokenizer {

enum class TokenKind : uint8_t {
  kNormal,
  kUnknown,
  kControl,      // never comes from plain text
  kUserDefined,  // found in text before anything else
  kUnused,
  kByte,  // "<0x0A>": one byte
  kUndefined,
};

// Kinds of tokens that are looked for in a text before it is cut into words.
inline bool IsSpecial(TokenKind kind) {
  return kind == TokenKind::kControl || kind == TokenKind::kUnknown || kind == TokenKind::kUserDefined;
}

struct Token {
  std::string text;  // as the file has it; empty for an id without one
  float score = 0.0f;
  TokenKind kind = TokenKind::kNormal;
  // How it is found in text (tokenizer.json's added tokens): with the spaces on its left or right, only between non-words.
  bool lstrip = false;
  bool rstrip = false;
  bool single_word = false;
  bool shown = false;  // in answers, though it is a control token
};

// The byte of a token text "<0xHH>"; nothing for any other text.
std::optional<uint8_t> ParseByteToken(std::string_view text);

// Immutable once made; thread-safe.
class Vocabulary {
 public:
  Vocabulary() = default;
  // Ids are positions. Texts that occur twice belong to the first id; both kinds of oddity (empty, twice) are told in a
  // warning.
  explicit Vocabulary(std::vector<Token> tokens);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  Vocabulary(Vocabulary&&) = default;  // texts do not move with it
  Vocabulary& operator=(Vocabulary&&) = default;

  size_t size() const { return tokens_.size(); }
  const Token& token(TokenId id) const { return tokens_[static_cast<size_t>(id)]; }
  bool Has(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < tokens_.size(); }
  bool IsKind(TokenId id, TokenKind kind) const { return Has(id) && token(id).kind == kind; }

  std::optional<TokenId> Find(std::string_view text) const;
  // As Find(), but control tokens do not count: for text that nobody vouches for.
  std::optional<TokenId> FindPlain(std::string_view text) const;

  // The id of "<0xHH>" for every byte; -1 where there is none.
  std::array<TokenId, 256> FindByteTokens() const;

  // Sets what the file says and derives what it leaves out, as llama.cpp does it, from the texts: the token that ends a turn,
  // and which tokens end a generation. Such tokens become control tokens whatever the file called them, and so do user-defined
  // ones that begin a turn (llama.cpp leaves those) and marks that are shown.
  void SetSpecial(const SpecialTokens& special, const std::vector<TokenId>& more_ends);
  const SpecialTokens& special() const { return special_; }
  bool IsEndOfGeneration(TokenId id) const { return Has(id) && ends_[static_cast<size_t>(id)]; }

 private:
  void MarkEnd(TokenId id, bool make_control);
  void UnmarkEnd(std::string_view text, TokenKind kind);
  void Show(std::string_view text);

  std::vector<Token> tokens_;
  std::unordered_map<std::string_view, TokenId> ids_;
  SpecialTokens special_;
  std::vector<bool> ends_;
};

}  // namespace damask::tokenizer
