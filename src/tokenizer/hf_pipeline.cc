#include "tokenizer/hf_pipeline.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "tokenizer/text_encoder.h"

namespace damask::tokenizer {
namespace {

using formats::Json;

// What GPT-2 cuts words with; "ByteLevel" implies it unless use_regex is false.
constexpr const char* kByteLevelPattern = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
constexpr const char* kPunctuationPattern = "[!-\\/:-@\\[-`{-~\\p{P}]";
constexpr size_t kMaxSteps = 64;

// A member that is an object; null where it is absent or null.
Result<const Json*> Member(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return static_cast<const Json*>(nullptr);
  if (!found->is_object()) return BadFormat(fmt::format("{} is {}, expected an object", Quote(key), found->type_name()));
  return &*found;
}

Result<std::string> TypeOf(const Json& object) {
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> type, formats::JsonString(object, "type"));
  return std::move(type).value_or("");
}

// The elements of an array of objects.
Result<std::vector<const Json*>> Elements(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return BadFormat(fmt::format("{} is missing or no array", Quote(key)));
  if (found->size() > kMaxSteps)
    return TooLarge(fmt::format("{} has {} elements, at most {} are taken", Quote(key), found->size(), kMaxSteps));
  std::vector<const Json*> elements;
  for (const Json& element : *found) {
    if (!element.is_object())
      return BadFormat(fmt::format("an element of {} is {}, expected an object", Quote(key), element.type_name()));
    elements.push_back(&element);
  }
  return elements;
}

std::string EscapePattern(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!is_word && static_cast<unsigned char>(c) < 0x80) out += '\\';
    out += c;
  }
  return out;
}

// {"Regex": "..."} or {"String": "..."}, as a regular expression.
Result<std::string> ReadPattern(const Json& object) {
  DAMASK_ASSIGN_OR_RETURN(const Json* pattern, Member(object, "pattern"));
  if (pattern == nullptr) return BadFormat("a 'pattern' is missing");
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> regex, formats::JsonString(*pattern, "Regex"));
  if (regex) return std::move(*regex);
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> literal, formats::JsonString(*pattern, "String"));
  if (!literal || literal->empty()) return BadFormat("a 'pattern' has neither 'Regex' nor 'String'");
  return EscapePattern(*literal);
}

Result<SplitBehavior> ReadBehavior(const Json& object, SplitBehavior otherwise) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> name, formats::JsonString(object, "behavior"));
  if (!name) return otherwise;
  if (*name == "Isolated") return SplitBehavior::kIsolated;
  if (*name == "Removed") return SplitBehavior::kRemoved;
  if (*name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (*name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (*name == "Contiguous") return SplitBehavior::kContiguous;
  return Unsupported(fmt::format("the split behavior {} is not known", Quote(*name)));
}

Result<bool> ReadFlag(const Json& object, const char* key, bool otherwise) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> flag, formats::JsonBool(object, key));
  return flag.value_or(otherwise);
}

class PipelineReader {
 public:
  Status ReadNormalizer(const Json& normalizer) {
    DAMASK_ASSIGN_OR_RETURN(const std::string type, TypeOf(normalizer));
    if (type == "Sequence") return ForEach(normalizer, "normalizers", &PipelineReader::ReadNormalizer);
    if (type == "NFC") return {};  // skipped, see tokenizer.h
    if (type == "Prepend") return ReadPrepend(normalizer);
    if (type == "Replace") return ReadReplace(normalizer);
    return Unsupported(fmt::format("the normalizer {} is not supported", Quote(type)));
  }

  Status ReadPreTokenizer(const Json& pre) {
    DAMASK_ASSIGN_OR_RETURN(const std::string type, TypeOf(pre));
    if (type == "Sequence") return ForEach(pre, "pretokenizers", &PipelineReader::ReadPreTokenizer);
    if (type == "Split") return ReadSplit(pre);
    if (type == "ByteLevel") return ReadByteLevel(pre);
    if (type == "Metaspace") return ReadMetaspace(pre);
    if (type == "Digits") {
      DAMASK_ASSIGN_OR_RETURN(const bool single, ReadFlag(pre, "individual_digits", false));
      return AddStep("\\p{N}", single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
    }
    if (type == "Punctuation") {
      DAMASK_ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(pre, SplitBehavior::kIsolated));
      return AddStep(kPunctuationPattern, behavior, false);
    }
    return Unsupported(fmt::format("the pre-tokenizer {} is not supported", Quote(type)));
  }

  // What a decoder undoes follows from the rest; here only that it is one that undoes just that.
  Status CheckDecoder(const Json& decoder) {
    DAMASK_ASSIGN_OR_RETURN(const std::string type, TypeOf(decoder));
    if (type == "Sequence") return ForEach(decoder, "decoders", &PipelineReader::CheckDecoder);
    for (const char* known : {"ByteLevel", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"}) {
      if (type == known) return {};
    }
    return Unsupported(fmt::format("the decoder {} is not supported", Quote(type)));
  }

  HfPipeline Take() { return std::move(pipeline_); }

 private:
  Status ForEach(const Json& sequence, const char* key, Status (PipelineReader::*read)(const Json&)) {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<const Json*> elements, Elements(sequence, key));
    for (const Json* element : elements) DAMASK_RETURN_IF_ERROR((this->*read)(*element));
    return {};
  }

  Status AddStep(std::string_view pattern, SplitBehavior behavior, bool invert) {
    if (pipeline_.steps.size() >= kMaxSteps) return TooLarge(fmt::format("more than {} splitting steps", kMaxSteps));
    DAMASK_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
    pipeline_.steps.push_back({std::move(regex), behavior, invert});
    return {};
  }

  Status ReadPrepend(const Json& normalizer) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> text, formats::JsonString(normalizer, "prepend"));
    if (text != std::string(kSpaceMark))
      return Unsupported(fmt::format("a normalizer prepends {}, only '▁' is supported", Quote(text.value_or(""))));
    pipeline_.space_prefix = SpacePrefix::kAlways;
    return {};
  }

  Status ReadReplace(const Json& normalizer) {
    DAMASK_ASSIGN_OR_RETURN(const std::string pattern, ReadPattern(normalizer));
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> content, formats::JsonString(normalizer, "content"));
    if ((pattern != "\\ " && pattern != " ") || content != std::string(kSpaceMark)) {
      return Unsupported(fmt::format("a normalizer replaces {} by {}, only ' ' by '▁' is supported", Quote(pattern),
                                     Quote(content.value_or(""))));
    }
    pipeline_.space_marks = true;
    return {};
  }

  Status ReadSplit(const Json& split) {
    DAMASK_ASSIGN_OR_RETURN(const std::string pattern, ReadPattern(split));
    DAMASK_ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(split, SplitBehavior::kIsolated));
    DAMASK_ASSIGN_OR_RETURN(const bool invert, ReadFlag(split, "invert", false));
    return AddStep(pattern, behavior, invert);
  }

  Status ReadByteLevel(const Json& byte_level) {
    DAMASK_ASSIGN_OR_RETURN(const bool prefix, ReadFlag(byte_level, "add_prefix_space", true));
    DAMASK_ASSIGN_OR_RETURN(const bool use_regex, ReadFlag(byte_level, "use_regex", true));
    // It would go before every piece of the steps so far.
    if (prefix && !pipeline_.steps.empty())
      return Unsupported("a ByteLevel pre-tokenizer with add_prefix_space behind other steps");
    if (prefix) pipeline_.space_prefix = SpacePrefix::kUnlessThere;
    pipeline_.byte_level = true;
    return use_regex ? AddStep(kByteLevelPattern, SplitBehavior::kIsolated, false) : Status();
  }

  Status ReadMetaspace(const Json& metaspace) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> replacement, formats::JsonString(metaspace, "replacement"));
    if (replacement && *replacement != kSpaceMark) {
      return Unsupported(
          fmt::format("a Metaspace pre-tokenizer writes spaces as {}, only '▁' is supported", Quote(*replacement)));
    }
    if (!pipeline_.steps.empty()) return Unsupported("a Metaspace pre-tokenizer behind other steps");
    // Older files have add_prefix_space, newer ones prepend_scheme.
    DAMASK_ASSIGN_OR_RETURN(const bool prefix, ReadFlag(metaspace, "add_prefix_space", true));
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> scheme, formats::JsonString(metaspace, "prepend_scheme"));
    const std::string name = scheme.value_or(prefix ? "always" : "never");
    if (name == "always") {
      pipeline_.space_prefix = SpacePrefix::kUnlessThere;
    } else if (name == "first") {
      pipeline_.space_prefix = SpacePrefix::kStartOfText;
    } else if (name != "never") {
      return Unsupported(fmt::format("the prepend_scheme {} is not known", Quote(name)));
    }
    pipeline_.space_marks = true;
    DAMASK_ASSIGN_OR_RETURN(pipeline_.split_at_spaces, ReadFlag(metaspace, "split", true));
    return {};
  }

  HfPipeline pipeline_;
};

// The text of one "SpecialToken" element of a template, empty for the sequence itself.
Result<std::optional<std::string>> ReadTemplateElement(const Json& element) {
  DAMASK_ASSIGN_OR_RETURN(const Json* token, Member(element, "SpecialToken"));
  if (token == nullptr) return std::optional<std::string>();
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> id, formats::JsonString(*token, "id"));
  if (!id) return BadFormat("a 'SpecialToken' of the post_processor has no 'id'");
  return id;
}

Status ReadTemplate(const Json& processor, HfAffixes* affixes) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<const Json*> elements, Elements(processor, "single"));
  bool behind_text = false;
  for (const Json* element : elements) {
    DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> token, ReadTemplateElement(*element));
    if (!token) {
      behind_text = true;
      continue;
    }
    std::optional<std::string>& place = behind_text ? affixes->last : affixes->first;
    if (place) return Unsupported("the post_processor puts more than one token before or behind a text");
    place = std::move(token);
  }
  return {};
}

Status ReadProcessor(const Json& processor, HfAffixes* affixes) {
  DAMASK_ASSIGN_OR_RETURN(const std::string type, TypeOf(processor));
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return ReadTemplate(processor, affixes);
  if (type != "Sequence") return Unsupported(fmt::format("the post_processor {} is not supported", Quote(type)));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<const Json*> elements, Elements(processor, "processors"));
  for (const Json* element : elements) DAMASK_RETURN_IF_ERROR(ReadProcessor(*element, affixes));
  return {};
}

}  // namespace

Result<HfPipeline> ReadHfPipeline(const Json& root) {
  PipelineReader reader;
  DAMASK_ASSIGN_OR_RETURN(const Json* normalizer, Member(root, "normalizer"));
  if (normalizer != nullptr) DAMASK_RETURN_IF_ERROR(reader.ReadNormalizer(*normalizer));
  DAMASK_ASSIGN_OR_RETURN(const Json* pre, Member(root, "pre_tokenizer"));
  if (pre != nullptr) DAMASK_RETURN_IF_ERROR(reader.ReadPreTokenizer(*pre));
  DAMASK_ASSIGN_OR_RETURN(const Json* decoder, Member(root, "decoder"));
  if (decoder != nullptr) DAMASK_RETURN_IF_ERROR(reader.CheckDecoder(*decoder));
  HfPipeline pipeline = reader.Take();
  if (pipeline.byte_level == pipeline.space_marks) {
    return Unsupported(pipeline.byte_level ? "the tokenizer mixes ByteLevel with '▁' for spaces"
                                           : "the tokenizer is neither ByteLevel nor writes spaces as '▁'");
  }
  return pipeline;
}

Result<HfAffixes> ReadHfAffixes(const Json& root) {
  HfAffixes affixes;
  DAMASK_ASSIGN_OR_RETURN(const Json* processor, Member(root, "post_processor"));
  if (processor != nullptr) DAMASK_RETURN_IF_ERROR(ReadProcessor(*processor, &affixes));
  return affixes;
}

}  // namespace damask::tokenizer
