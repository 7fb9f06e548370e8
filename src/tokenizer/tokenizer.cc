#include "tokenizer/tokenizer.h"

#include "base/log.h"
#include "base/text.h"

namespace damask::tokenizer {

Result<std::vector<TokenId>> EncodePrompt(const Tokenizer& tokenizer, std::string_view text, Special special) {
  DAMASK_ASSIGN_OR_RETURN(std::vector<TokenId> ids, tokenizer.Encode(text, special));
  const SpecialTokens& tokens = tokenizer.special();
  if (tokens.puts_bos()) {
    if (!ids.empty() && ids[0] == *tokens.bos) {
      LogWarning("the text starts with the model's BOS token already, so the prompt has it twice");
    }
    ids.insert(ids.begin(), *tokens.bos);
  }
  if (tokens.add_eos && tokens.eos) ids.push_back(*tokens.eos);
  return ids;
}

std::string StreamDecoder::Release() {
  const size_t tail = IncompleteUtf8Tail(held_);
  const std::string_view whole = std::string_view(held_).substr(0, held_.size() - tail);
  std::string out = SanitizeUtf8(whole);
  held_.erase(0, whole.size());
  return out;
}

std::string StreamDecoder::Add(TokenId id) {
  std::string piece = tokenizer_->Piece(id, show_special_);
  if (at_start_ && !piece.empty()) {
    at_start_ = false;
    if (tokenizer_->adds_space_prefix() && piece[0] == ' ') piece.erase(0, 1);
  }
  held_ += piece;
  return Release();
}

std::string StreamDecoder::Finish() {
  std::string out = Release();
  // What is left began a character that never came.
  if (!held_.empty()) out += "\xef\xbf\xbd";
  held_.clear();
  return out;
}

}  // namespace damask::tokenizer
