// Text to token ids and back, as llama.cpp does it for the same file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf.h"

namespace damask::tokenizer {

using TokenId = int32_t;

enum class Special {
  kParse,  // text that spells a control token becomes that token (prompts, templates)
  kPlain,  // it stays plain text (what a user wrote inside a message); user-defined tokens are still matched, as llama.cpp does
};

struct SpecialTokens {
  std::optional<TokenId> bos, eos, eot, unk, pad;
  bool add_bos = false;
  bool add_eos = false;

  // Whether a text begins with BOS.
  bool puts_bos() const { return add_bos && bos.has_value(); }
};

// A piece of a text in which control tokens are, or are not, to be found.
struct TextPart {
  std::string_view text;
  Special special = Special::kPlain;
};

// Immutable after construction; all methods are thread-safe.
class Tokenizer {
 public:
  // "llama" (SentencePiece) and "gpt2" (byte-level BPE) vocabularies. Errors: Unsupported naming another model or an unknown
  // tokenizer.ggml.pre; BadFormat naming a key that is missing or does not fit; the caller adds the file. Of a repeated token
  // text the first id counts.
  static Result<std::unique_ptr<Tokenizer>> FromGguf(const formats::GgufFile& file);
  // tokenizer.json (and tokenizer_config.json, generation_config.json where they are) of a Hugging Face folder. A normalizer
  // NFC is skipped, as llama.cpp does for the same model's GGUF: text keeps its bytes. `rows`: of the model's embedding; added
  // tokens with ids beyond it are left out, with a warning.
  static Result<std::unique_ptr<Tokenizer>> FromHuggingFace(const std::string& folder,
                                                            std::optional<uint64_t> rows = std::nullopt);

  virtual ~Tokenizer() = default;

  // Ids of `text`, which must be valid UTF-8 up to limits::kMaxTextFileBytes (else InvalidArgument / TooLarge); no BOS is
  // added.
  virtual Result<std::vector<TokenId>> Encode(std::string_view text, Special special) const = 0;

  // The same for a text that goes on behind the token `last`: vocabularies that put a space before a text put none there.
  virtual Result<std::vector<TokenId>> EncodeBehind(TokenId last, std::string_view text, Special special) const = 0;

  // Ids of all parts as one text, so that words go over their borders; a control token counts only inside a kParse part. This
  // is how a template's marks become control tokens and a user's words never do.
  virtual Result<std::vector<TokenId>> EncodeParts(std::span<const TextPart> parts) const = 0;

  // The bytes a token stands for; with `show_special` false control tokens give "". Byte tokens give single bytes, which need
  // not be UTF-8 by themselves. An id out of range gives "".
  virtual std::string Piece(TokenId id, bool show_special) const = 0;

  // The text of a sequence. An SPM vocabulary that puts a space before the first word drops it here, behind control tokens at
  // the start too (llama.cpp keeps it behind BOS). Nothing else changes: no spaces are "cleaned up", so that text comes back
  // exactly.
  virtual std::string Decode(std::span<const TokenId> ids, bool show_special) const = 0;

  virtual size_t vocab_size() const = 0;
  virtual const SpecialTokens& special() const = 0;
  // Ends generation: eos, eot and their kin ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", ...).
  virtual bool IsEndOfGeneration(TokenId id) const = 0;
  virtual bool IsControl(TokenId id) const = 0;
  // "spm", "bpe (llama-bpe)": for info.
  virtual std::string description() const = 0;
  // Whether encoding puts a space before the first word, which Decode() drops.
  virtual bool adds_space_prefix() const { return false; }
  // The chat template as the file has it; empty where it has none.
  virtual const std::string& chat_template() const = 0;
  // The id whose text is exactly this, control tokens included.
  virtual std::optional<TokenId> FindToken(std::string_view text) const = 0;
};

// Encode() behind the vocabulary's own BOS/EOS rules: BOS first where add_bos says so.
Result<std::vector<TokenId>> EncodePrompt(const Tokenizer& tokenizer, std::string_view text, Special special);

// Turns ids into text one by one without ever giving out half a UTF-8 character.
class StreamDecoder {
 public:
  // `at_start`: the stream begins the text (an SPM vocabulary then drops the first space); false when it goes on a prompt.
  // `show_special`: control tokens are text as well.
  StreamDecoder(const Tokenizer* tokenizer, bool at_start, bool show_special = false)
      : tokenizer_(tokenizer), at_start_(at_start), show_special_(show_special) {}

  // The text that this token completes; may be empty. Invalid bytes become U+FFFD.
  std::string Add(TokenId id);
  // What is still held back; an unfinished character becomes U+FFFD.
  std::string Finish();

 private:
  std::string Release();

  const Tokenizer* tokenizer_;
  bool at_start_;
  bool show_special_;
  std::string held_;
};

}  // namespace damask::tokenizer
