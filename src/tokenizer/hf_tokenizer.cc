#include "tokenizer/hf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "tokenizer/hf_pipeline.h"
#include "tokenizer/vocab_tokenizer.h"

namespace damask::tokenizer {
namespace {

using formats::Json;

// Ids may have gaps, but not so many that a small file asks for a large vocabulary.
constexpr uint64_t kMaxGaps = 65536;

Result<const Json*> ReadModel(const Json& root) {
  if (!root.is_object()) return BadFormat("the file holds no JSON object");
  const auto model = root.find("model");
  if (model == root.end() || !model->is_object()) return BadFormat("'model' is missing or no object");
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> type, formats::JsonString(*model, "type"));
  // Old files leave the type out; merges are a BPE model's.
  const bool is_bpe = type ? *type == "BPE" : model->contains("merges");
  if (!is_bpe)
    return Unsupported(fmt::format("the tokenizer model {} is not supported, only 'BPE' is", Quote(type.value_or("(none)"))));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> text, formats::JsonString(*model, key));
    if (text && !text->empty()) return Unsupported(fmt::format("'model.{}' is {}, which is not supported", key, Quote(*text)));
  }
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> dropout, formats::JsonNumber(*model, "dropout"));
  if (dropout.value_or(0.0) != 0.0) return Unsupported("'model.dropout' makes the tokenizer random");
  return &*model;
}

struct AddedToken {
  uint64_t id = 0;
  Token token;
};

Result<AddedToken> ReadAddedToken(const Json& element) {
  if (!element.is_object())
    return BadFormat(fmt::format("an element of 'added_tokens' is {}, expected an object", element.type_name()));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> id, formats::JsonUint(element, "id"));
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> content, formats::JsonString(element, "content"));
  if (!id || !content) return BadFormat("an element of 'added_tokens' lacks 'id' or 'content'");
  AddedToken added;
  added.id = *id;
  added.token.text = std::move(*content);
  const auto flag = [&](const char* key) -> Result<bool> {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> value, formats::JsonBool(element, key));
    return value.value_or(false);
  };
  DAMASK_ASSIGN_OR_RETURN(const bool special, flag("special"));
  DAMASK_ASSIGN_OR_RETURN(added.token.lstrip, flag("lstrip"));
  DAMASK_ASSIGN_OR_RETURN(added.token.rstrip, flag("rstrip"));
  DAMASK_ASSIGN_OR_RETURN(added.token.single_word, flag("single_word"));
  added.token.kind = special ? TokenKind::kControl : TokenKind::kUserDefined;
  return added;
}

// Without those that have no text, and those that have no row in the embedding: marks of images in folders of Gemma 3's text
// models, and what finetunes added (a "[PAD]") without need of it.
Result<std::vector<AddedToken>> ReadAddedTokens(const Json& root, const std::optional<uint64_t>& rows) {
  std::vector<AddedToken> added;
  const auto list = root.find("added_tokens");
  if (list == root.end() || list->is_null()) return added;
  if (!list->is_array()) return BadFormat(fmt::format("'added_tokens' is {}, expected an array", list->type_name()));
  size_t num_empty = 0;
  size_t num_beyond = 0;
  for (const Json& element : *list) {
    DAMASK_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(element));
    if (token.token.text.empty()) {
      ++num_empty;
    } else if (rows && token.id >= *rows) {
      ++num_beyond;
    } else {
      added.push_back(std::move(token));
    }
  }
  if (num_empty > 0) LogWarning(fmt::format("{} added tokens have no text and are left out", num_empty));
  if (num_beyond > 0) {
    LogWarning(fmt::format("{} added tokens have ids beyond the model's {} tokens and are left out", num_beyond, *rows));
  }
  return added;
}

// Gemma lists its runs of spaces as added tokens: written as they stand in the text behind the normalizer, where merging finds
// them as well. They stand for spaces, as every word of the vocabulary with such marks does.
bool IsRunOfSpaces(const AddedToken& added, const Token& of_model) {
  if (added.token.kind != TokenKind::kUserDefined || of_model.kind != TokenKind::kNormal) return false;
  return added.token.text == of_model.text && ReplaceAll(of_model.text, kSpaceMark, "").empty();
}

Result<std::vector<Token>> ReadTokens(const Json& model, const std::vector<AddedToken>& added, bool byte_fallback,
                                      bool space_marks) {
  const auto vocab = model.find("vocab");
  if (vocab == model.end() || !vocab->is_object()) return BadFormat("'model.vocab' is missing or no object");
  if (vocab->size() + added.size() > limits::kMaxVocab) {
    return TooLarge(fmt::format("{} tokens, at most {} are taken", vocab->size() + added.size(), limits::kMaxVocab));
  }
  const uint64_t max_id = std::min(limits::kMaxVocab, vocab->size() + added.size() + kMaxGaps);
  uint64_t size = 0;
  for (const auto& [text, id] : vocab->items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= max_id) {
      return BadFormat(fmt::format("'model.vocab': the id of {} is not a whole number below {}", Quote(text), max_id));
    }
    size = std::max(size, id.get<uint64_t>() + 1);
  }
  for (const AddedToken& token : added) {
    if (token.id >= max_id) {
      return BadFormat(
          fmt::format("'added_tokens': the id {} of {} is not below {}", token.id, Quote(token.token.text), max_id));
    }
    size = std::max(size, token.id + 1);
  }
  std::vector<Token> tokens(size);
  for (Token& token : tokens) token.kind = TokenKind::kUnused;  // what stays so is a gap
  for (const auto& [text, id] : vocab->items()) {
    Token& token = tokens[id.get<uint64_t>()];
    if (token.kind != TokenKind::kUnused) {
      return BadFormat(fmt::format("'model.vocab': {} and {} have the same id", Quote(token.text), Quote(text)));
    }
    token.text = text;
    token.kind = byte_fallback && ParseByteToken(text) ? TokenKind::kByte : TokenKind::kNormal;
  }
  for (const AddedToken& token : added) {
    if (!space_marks || !IsRunOfSpaces(token, tokens[token.id])) tokens[token.id] = token.token;
  }
  return tokens;
}

// "a b" can be cut at each of its spaces; the cut whose sides are tokens is meant.
Result<MergePair> SplitMerge(std::string_view line, const Vocabulary& vocabulary) {
  std::optional<MergePair> found;
  for (size_t space = line.find(' ', 1); space != std::string_view::npos; space = line.find(' ', space + 1)) {
    const MergePair pair = {line.substr(0, space), line.substr(space + 1)};
    if (!vocabulary.Find(pair.first) || !vocabulary.Find(pair.second)) continue;
    if (found) return BadFormat(fmt::format("the merge {} can be read in two ways", Quote(line)));
    found = pair;
  }
  if (!found) return BadFormat(fmt::format("the merge {} is not two tokens with a space between", Quote(line)));
  return *found;
}

Result<MergePair> ReadMerge(const Json& element, const Vocabulary& vocabulary) {
  MergePair pair;
  if (element.is_string()) {
    DAMASK_ASSIGN_OR_RETURN(pair, SplitMerge(element.get_ref<const std::string&>(), vocabulary));
  } else if (element.is_array() && element.size() == 2 && element[0].is_string() && element[1].is_string()) {
    pair = {element[0].get_ref<const std::string&>(), element[1].get_ref<const std::string&>()};
  } else {
    return BadFormat("an element of 'model.merges' is neither a string nor a pair of strings");
  }
  for (const std::string_view side : {pair.first, pair.second}) {
    if (!vocabulary.Find(side)) return BadFormat(fmt::format("a merge names {}, which is no token", Quote(side)));
  }
  const std::string result = std::string(pair.first) + std::string(pair.second);
  if (!vocabulary.Find(result)) return BadFormat(fmt::format("a merge gives {}, which is no token", Quote(result)));
  return pair;
}

Result<std::vector<MergePair>> ReadMerges(const Json& model, const Vocabulary& vocabulary) {
  std::vector<MergePair> merges;
  const auto list = model.find("merges");
  if (list == model.end() || !list->is_array()) return BadFormat("'model.merges' is missing or no array");
  merges.reserve(list->size());
  for (const Json& element : *list) {
    DAMASK_ASSIGN_OR_RETURN(const MergePair pair, ReadMerge(element, vocabulary));
    merges.push_back(pair);
  }
  return merges;
}

Result<std::optional<TokenId>> FindNamed(const Vocabulary& vocabulary, const std::optional<std::string>& text,
                                         const char* role) {
  if (!text) return std::optional<TokenId>();
  const std::optional<TokenId> id = vocabulary.Find(*text);
  if (!id) LogWarning(fmt::format("the {} token {} is not in the vocabulary: taken as absent", role, Quote(*text)));
  return id;
}

// tokenizer_config.json's word counts before the post-processor's: that is how the files are used.
Status SetSpecial(const HfConfig& config, const HfAffixes& affixes, Vocabulary* vocabulary) {
  SpecialTokens special;
  DAMASK_ASSIGN_OR_RETURN(special.bos, FindNamed(*vocabulary, config.bos ? config.bos : affixes.first, "BOS"));
  DAMASK_ASSIGN_OR_RETURN(special.eos, FindNamed(*vocabulary, config.eos ? config.eos : affixes.last, "EOS"));
  DAMASK_ASSIGN_OR_RETURN(special.unk, FindNamed(*vocabulary, config.unk, "unknown"));
  DAMASK_ASSIGN_OR_RETURN(special.pad, FindNamed(*vocabulary, config.pad, "padding"));
  if (!special.eos && !config.end_ids.empty() && config.end_ids[0] < vocabulary->size()) {
    special.eos = static_cast<TokenId>(config.end_ids[0]);
  }
  special.add_bos = config.add_bos.value_or(affixes.first.has_value());
  special.add_eos = config.add_eos.value_or(affixes.last.has_value());
  if (special.add_bos && !special.bos)
    return BadFormat("the tokenizer puts a BOS token before a text, but names none of its vocabulary");
  if (special.add_eos && !special.eos)
    return BadFormat("the tokenizer puts an EOS token behind a text, but names none of its vocabulary");
  std::vector<TokenId> ends;
  for (const uint64_t id : config.end_ids) {
    if (id < vocabulary->size()) {
      ends.push_back(static_cast<TokenId>(id));
    } else {
      LogWarning(fmt::format("eos_token_id is {}, but the vocabulary has {} tokens: taken as absent", id, vocabulary->size()));
    }
  }
  vocabulary->SetSpecial(special, ends);
  return {};
}

Result<bool> ModelFlag(const Json& model, const char* key) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> flag, formats::JsonBool(model, key));
  return flag.value_or(false);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> TokenizerFromJson(const Json& root, const HfConfig& config) {
  DAMASK_ASSIGN_OR_RETURN(const Json* model, ReadModel(root));
  DAMASK_ASSIGN_OR_RETURN(HfPipeline pipeline, ReadHfPipeline(root));
  DAMASK_ASSIGN_OR_RETURN(const HfAffixes affixes, ReadHfAffixes(root));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<AddedToken> added, ReadAddedTokens(root, config.rows));
  DAMASK_ASSIGN_OR_RETURN(const bool byte_fallback, ModelFlag(*model, "byte_fallback"));
  DAMASK_ASSIGN_OR_RETURN(std::vector<Token> tokens, ReadTokens(*model, added, byte_fallback, pipeline.space_marks));
  Vocabulary vocabulary(std::move(tokens));
  DAMASK_RETURN_IF_ERROR(SetSpecial(config, affixes, &vocabulary));

  BpeOptions options;
  options.byte_level = pipeline.byte_level;
  options.byte_fallback = byte_fallback;
  options.space_prefix = pipeline.space_prefix;
  options.split_at_spaces = pipeline.split_at_spaces;
  DAMASK_ASSIGN_OR_RETURN(options.ignore_merges, ModelFlag(*model, "ignore_merges"));
  DAMASK_ASSIGN_OR_RETURN(options.join_unknown, ModelFlag(*model, "fuse_unk"));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> unknown, formats::JsonString(*model, "unk_token"));
  DAMASK_ASSIGN_OR_RETURN(options.unknown, FindNamed(vocabulary, unknown, "unknown"));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<MergePair> merges, ReadMerges(*model, vocabulary));
  const auto make = [&](const Vocabulary& final_place) -> Result<std::unique_ptr<TextEncoder>> {
    return std::unique_ptr<TextEncoder>(
        std::make_unique<BpeEncoder>(&final_place, PreTokenizer(std::move(pipeline.steps)), options, merges));
  };
  return VocabTokenizer::Create(std::move(vocabulary), make,
                                options.byte_level ? "bpe (tokenizer.json)" : "bpe over characters (tokenizer.json)",
                                config.chat_template);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromHuggingFace(const std::string& folder, std::optional<uint64_t> rows) {
  const std::string path = folder + "/tokenizer.json";
  try {
    DAMASK_ASSIGN_OR_RETURN(HfConfig config, ReadHfConfig(folder));
    config.rows = rows;
    DAMASK_ASSIGN_OR_RETURN(const Json root, formats::ReadJsonFile(path));
    Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromJson(root, config);
    if (!tokenizer.ok()) return tokenizer.status().At(Quote(path, 300));
    return tokenizer;
  } catch (const std::bad_alloc&) {
    return OutOfMemory("not enough memory for the vocabulary").At(Quote(path, 300));
  }
}

}  // namespace damask::tokenizer
