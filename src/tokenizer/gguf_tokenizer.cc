// A tokenizer from a GGUF file's tokenizer.ggml.* keys.
#include <fmt/format.h>

#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "tokenizer/bpe_encoder.h"
#include "tokenizer/spm_encoder.h"
#include "tokenizer/vocab_tokenizer.h"

namespace damask::tokenizer {
namespace {

using formats::GgufFile;

constexpr std::string_view kPrefix = "tokenizer.ggml.";
std::string KeyOf(std::string_view name) { return fmt::format("{}{}", kPrefix, name); }

TokenKind KindFromFile(int32_t type) {
  switch (type) {
    case 1: return TokenKind::kNormal;
    case 2: return TokenKind::kUnknown;
    case 3: return TokenKind::kControl;
    case 4: return TokenKind::kUserDefined;
    case 5: return TokenKind::kUnused;
    case 6: return TokenKind::kByte;
    default: return TokenKind::kUndefined;
  }
}

Status CheckLength(std::string_view name, size_t found, size_t expected) {
  if (found == expected) return {};
  return BadFormat(fmt::format("{} has {} elements, expected {} as in {}", KeyOf(name), found, expected, KeyOf("tokens")));
}

// GGUF does not say which tokens swallow the spaces behind them. llama.cpp knows of Phi 3 by the model's name that all its
// special tokens but three do.
Status MarkStripping(const GgufFile& file, std::vector<Token>* tokens) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.name"));
  const std::string lower = LowerCase(name.value_or(""));
  if (lower.find("phi-3") == std::string::npos && lower.find("phi3") == std::string::npos) return {};
  for (Token& token : *tokens) {
    token.rstrip = (IsSpecial(token.kind) || token.text == "</s>") && token.text != "<unk>" && token.text != "<s>" &&
                   token.text != "<|endoftext|>";
  }
  return {};
}

Result<std::vector<Token>> ReadTokens(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string_view>* texts, file.GetStringArray(KeyOf("tokens")));
  if (texts == nullptr || texts->empty()) return BadFormat(fmt::format("{} is missing or empty", KeyOf("tokens")));
  if (texts->size() > limits::kMaxVocab) {
    return TooLarge(fmt::format("{} has {} elements, at most {} are taken", KeyOf("tokens"), texts->size(), limits::kMaxVocab));
  }
  DAMASK_ASSIGN_OR_RETURN(const std::vector<float>* scores, file.GetFloatArray(KeyOf("scores")));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<int32_t>* types, file.GetInt32Array(KeyOf("token_type")));
  if (scores != nullptr) DAMASK_RETURN_IF_ERROR(CheckLength("scores", scores->size(), texts->size()));
  if (types != nullptr) DAMASK_RETURN_IF_ERROR(CheckLength("token_type", types->size(), texts->size()));
  std::vector<Token> tokens(texts->size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i].text = (*texts)[i];
    if (scores != nullptr) tokens[i].score = (*scores)[i];
    if (types != nullptr) tokens[i].kind = KindFromFile((*types)[i]);
  }
  DAMASK_RETURN_IF_ERROR(MarkStripping(file, &tokens));
  return tokens;
}

// An id that is out of range counts as absent, as in llama.cpp: real files write 2^32-1 for "none".
Result<std::optional<TokenId>> ReadId(const GgufFile& file, std::string_view name, size_t vocab_size,
                                      std::optional<TokenId> otherwise) {
  const std::string key = KeyOf(name);
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> id, file.GetUint(key));
  if (id && *id < vocab_size) return std::optional<TokenId>(static_cast<TokenId>(*id));
  const bool fits = otherwise && static_cast<size_t>(*otherwise) < vocab_size;
  if (id) {
    LogWarning(fmt::format("{} is {}, but the vocabulary has {} tokens: {}", key, *id, vocab_size,
                           fits ? fmt::format("the usual {} is taken", *otherwise) : "taken as absent"));
  }
  return fits ? otherwise : std::optional<TokenId>();
}

Result<bool> ReadFlag(const GgufFile& file, std::string_view name, bool otherwise) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> flag, file.GetBool(KeyOf(name)));
  return flag.value_or(otherwise);
}

struct Defaults {
  std::optional<TokenId> bos, eos, unk;
  bool add_bos = false;
};

Status ReadSpecial(const GgufFile& file, const Defaults& defaults, Vocabulary* vocabulary) {
  const size_t size = vocabulary->size();
  SpecialTokens special;
  DAMASK_ASSIGN_OR_RETURN(special.bos, ReadId(file, "bos_token_id", size, defaults.bos));
  DAMASK_ASSIGN_OR_RETURN(special.eos, ReadId(file, "eos_token_id", size, defaults.eos));
  DAMASK_ASSIGN_OR_RETURN(special.eot, ReadId(file, "eot_token_id", size, std::nullopt));
  DAMASK_ASSIGN_OR_RETURN(special.unk, ReadId(file, "unknown_token_id", size, defaults.unk));
  DAMASK_ASSIGN_OR_RETURN(special.pad, ReadId(file, "padding_token_id", size, std::nullopt));
  DAMASK_ASSIGN_OR_RETURN(special.add_bos, ReadFlag(file, "add_bos_token", defaults.add_bos && special.bos));
  DAMASK_ASSIGN_OR_RETURN(special.add_eos, ReadFlag(file, "add_eos_token", false));
  if (special.add_bos && !special.bos) return BadFormat("tokenizer.ggml.add_bos_token is true, but there is no bos_token_id");
  if (special.add_eos && !special.eos) return BadFormat("tokenizer.ggml.add_eos_token is true, but there is no eos_token_id");
  std::vector<TokenId> more_ends;
  for (const std::string_view name : {"eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"}) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<TokenId> id, ReadId(file, name, size, std::nullopt));
    if (id) more_ends.push_back(*id);
  }
  vocabulary->SetSpecial(special, more_ends);
  return {};
}

Result<std::vector<MergePair>> ReadMerges(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string_view>* lines, file.GetStringArray(KeyOf("merges")));
  if (lines == nullptr) return BadFormat(fmt::format("{} is missing", KeyOf("merges")));
  std::vector<MergePair> merges;
  merges.reserve(lines->size());
  size_t num_odd = 0;
  for (const std::string_view line : *lines) {
    // A space at the very start belongs to the left side, as llama.cpp reads it.
    const size_t space = line.find(' ', 1);
    const bool whole = space != std::string_view::npos && space + 1 < line.size();
    if (!whole && ++num_odd == 1)
      LogWarning(fmt::format("the merge {} is not two texts with a space between; skipped", Quote(line)));
    // A skipped line keeps its rank.
    merges.emplace_back(whole ? line.substr(0, space) : std::string_view(),
                        whole ? line.substr(space + 1) : std::string_view());
  }
  return merges;
}

Result<std::string> ReadChatTemplate(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> text, file.GetString("tokenizer.chat_template"));
  return std::string(text.value_or(""));
}

Result<std::unique_ptr<Tokenizer>> MakeSpm(const GgufFile& file, std::vector<Token> tokens) {
  Vocabulary vocabulary(std::move(tokens));
  // Where the file is silent: the ids of Llama 1 and 2.
  DAMASK_RETURN_IF_ERROR(ReadSpecial(file, {1, 2, 0, true}, &vocabulary));
  SpmOptions options;
  DAMASK_ASSIGN_OR_RETURN(options.add_space_prefix, ReadFlag(file, "add_space_prefix", true));
  DAMASK_ASSIGN_OR_RETURN(std::string chat_template, ReadChatTemplate(file));
  const auto make = [&](const Vocabulary& final_place) -> Result<std::unique_ptr<TextEncoder>> {
    DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<SpmEncoder> encoder, SpmEncoder::Create(&final_place, options));
    return std::unique_ptr<TextEncoder>(std::move(encoder));
  };
  return VocabTokenizer::Create(std::move(vocabulary), make, "spm", std::move(chat_template));
}

Result<std::unique_ptr<Tokenizer>> MakeBpe(const GgufFile& file, std::vector<Token> tokens) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> named, file.GetString(KeyOf("pre")));
  if (!named)
    LogWarning("tokenizer.ggml.pre is missing: words are cut by the rules called 'default', which may not be the model's");
  const std::string_view name = named.value_or("default");
  const PreTokenizerRules* rules = FindPreTokenizerRules(name);
  if (rules == nullptr) return Unsupported(fmt::format("the pre-tokenizer {} (tokenizer.ggml.pre) is not known", Quote(name)));
  DAMASK_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, MakePreTokenizer(*rules));
  Vocabulary vocabulary(std::move(tokens));
  DAMASK_RETURN_IF_ERROR(ReadSpecial(file, {std::nullopt, std::nullopt, std::nullopt, rules->add_bos}, &vocabulary));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<MergePair> merges, ReadMerges(file));
  DAMASK_ASSIGN_OR_RETURN(std::string chat_template, ReadChatTemplate(file));
  BpeOptions options;
  options.ignore_merges = rules->ignore_merges;
  const auto make = [&](const Vocabulary& final_place) -> Result<std::unique_ptr<TextEncoder>> {
    return std::unique_ptr<TextEncoder>(std::make_unique<BpeEncoder>(&final_place, std::move(pre_tokenizer), options, merges));
  };
  return VocabTokenizer::Create(std::move(vocabulary), make, fmt::format("bpe ({})", name), std::move(chat_template));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromGguf(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> model, file.GetString(KeyOf("model")));
  if (!model) return BadFormat(fmt::format("{} is missing: the file has no vocabulary", KeyOf("model")));
  if (*model != "llama" && *model != "gpt2") {
    return Unsupported(fmt::format("the tokenizer model {} is not supported, only 'llama' and 'gpt2' are", Quote(*model)));
  }
  DAMASK_ASSIGN_OR_RETURN(std::vector<Token> tokens, ReadTokens(file));
  return *model == "llama" ? MakeSpm(file, std::move(tokens)) : MakeBpe(file, std::move(tokens));
}

}  // namespace damask::tokenizer
