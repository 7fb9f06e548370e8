#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"

namespace damask::tokenizer {
namespace {

// Ends a turn; the first of these that a vocabulary holds is its eot where the file names none (llama.cpp's list).
constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",     "<|end_of_text|>",
    "<EOT>",      "_<EOT>",     "[EOT]",   "<｜end▁of▁sentence｜>", "<end_of_utterance>"};

// Begins a turn or says whose it is. Some files list such marks as user-defined: a message could then open a turn of its own.
constexpr std::string_view kTurnMarks[] = {"<|im_start|>",    "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>",
                                           "<|user|>",        "<|assistant|>",       "<|system|>",        "[INST]",
                                           "[/INST]",         "[SYSTEM_PROMPT]",     "[/SYSTEM_PROMPT]",  "<｜User｜>",
                                           "<｜Assistant｜>", "<|end_of_turn|>"};

// Ends a generation as well (llama.cpp's list, with what fills and joins files in code models).
constexpr std::string_view kEndOfGeneration[] = {
    "<|return|>",   "<|call|>",      "<|flush|>",        "<|calls|>",   "</s>",       "<|eom_id|>",  "[EOS]", "<eos>",
    "<turn|>",      "[e~[",          "<|tool_response>", "<|fim_pad|>", "<fim-pad>",  "<fim_pad>",   "<PAD>", "[PAD]",
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>",       "<REPO>",      "<reponame>", "<|file_sep|>"};

// Marks of the harmony format and of thoughts, which must be seen for answers to be told apart. Control tokens all the same:
// a message that spells one stays a text (llama.cpp makes those of harmony user-defined, which are found in any text).
constexpr std::string_view kShownMarks[] = {"<|channel|>",   "<|message|>",  "<|start|>",
                                            "<|constrain|>", "<seed:think>", "</seed:think>"};

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return std::nullopt;
}

}  // namespace

std::optional<uint8_t> ParseByteToken(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  const std::optional<int> high = HexDigit(text[3]);
  const std::optional<int> low = HexDigit(text[4]);
  if (!high || !low) return std::nullopt;
  return static_cast<uint8_t>(*high * 16 + *low);
}

Vocabulary::Vocabulary(std::vector<Token> tokens) : tokens_(std::move(tokens)), ends_(tokens_.size(), false) {
  ids_.reserve(tokens_.size());
  size_t num_empty = 0;
  size_t num_repeated = 0;
  size_t num_not_utf8 = 0;
  std::string example;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const std::string& text = tokens_[id].text;
    if (text.empty()) {
      num_empty += tokens_[id].kind != TokenKind::kUnused ? 1 : 0;
      continue;
    }
    if (!IsValidUtf8(text)) ++num_not_utf8;
    if (!ids_.emplace(text, static_cast<TokenId>(id)).second && ++num_repeated == 1) {
      example = fmt::format("{} is both {} and {}", Quote(text), ids_.at(text), id);
    }
  }
  if (num_empty > 0) LogWarning(fmt::format("{} tokens of the vocabulary have no text and are never used", num_empty));
  if (num_not_utf8 > 0) LogWarning(fmt::format("{} tokens of the vocabulary are not valid UTF-8", num_not_utf8));
  if (num_repeated > 0) {
    LogWarning(
        fmt::format("{} tokens of the vocabulary repeat the text of an earlier one, which wins ({})", num_repeated, example));
  }
}

std::optional<TokenId> Vocabulary::Find(std::string_view text) const {
  const auto found = ids_.find(text);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::optional<TokenId> Vocabulary::FindPlain(std::string_view text) const {
  const std::optional<TokenId> id = Find(text);
  if (!id || token(*id).kind == TokenKind::kControl) return std::nullopt;
  return id;
}

std::array<TokenId, 256> Vocabulary::FindByteTokens() const {
  std::array<TokenId, 256> ids;
  ids.fill(-1);
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const std::optional<uint8_t> byte = ParseByteToken(tokens_[id].text);
    if (!byte || tokens_[id].kind == TokenKind::kControl) continue;
    if (ids[*byte] < 0) ids[*byte] = static_cast<TokenId>(id);
  }
  return ids;
}

void Vocabulary::MarkEnd(TokenId id, bool make_control) {
  ends_[static_cast<size_t>(id)] = true;
  if (make_control) tokens_[static_cast<size_t>(id)].kind = TokenKind::kControl;
}

void Vocabulary::UnmarkEnd(std::string_view text, TokenKind kind) {
  const std::optional<TokenId> id = Find(text);
  if (!id) return;
  ends_[static_cast<size_t>(*id)] = false;
  tokens_[static_cast<size_t>(*id)].kind = kind;
}

void Vocabulary::Show(std::string_view text) {
  const std::optional<TokenId> id = Find(text);
  if (!id) return;
  tokens_[static_cast<size_t>(*id)].kind = TokenKind::kControl;
  tokens_[static_cast<size_t>(*id)].shown = true;
}

void Vocabulary::SetSpecial(const SpecialTokens& special, const std::vector<TokenId>& more_ends) {
  special_ = special;
  for (const std::string_view text : kEndOfTurn) {
    const std::optional<TokenId> id = Find(text);
    if (!id) continue;
    if (!special_.eot) special_.eot = id;
    MarkEnd(*id, /*make_control=*/true);
  }
  for (const std::string_view text : kEndOfGeneration) {
    if (const std::optional<TokenId> id = Find(text)) MarkEnd(*id, /*make_control=*/true);
  }
  for (const std::string_view text : kTurnMarks) {
    const std::optional<TokenId> id = Find(text);
    if (id && IsKind(*id, TokenKind::kUserDefined)) tokens_[static_cast<size_t>(*id)].kind = TokenKind::kControl;
  }
  for (const std::string_view text : kShownMarks) Show(text);
  for (const std::optional<TokenId>& id : {special_.eos, special_.eot}) {
    if (id) MarkEnd(*id, /*make_control=*/false);
  }
  for (const TokenId id : more_ends) {
    if (Has(id)) MarkEnd(id, /*make_control=*/false);
  }
  // In two formats "<|end|>" ends a part of an answer, and in one "</s>" is no end; their other marks give them away.
  const auto ends = [&](std::string_view text) {
    const std::optional<TokenId> id = Find(text);
    return id && IsEndOfGeneration(*id);
  };
  const bool has_call = ends("<|call|>") || ends("<|calls|>");
  if (has_call && (ends("<|return|>") || ends("<|flush|>"))) {
    UnmarkEnd("<|end|>", TokenKind::kControl);
    Show("<|end|>");
  }
  if (ends("<|tool_response>")) UnmarkEnd("</s>", TokenKind::kNormal);
}

}  // namespace damask::tokenizer
