#include "tokenizer/hf_config.h"

#include <fmt/format.h>

#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "formats/json.h"

namespace damask::tokenizer {
namespace {

using formats::Json;

constexpr uint64_t kMaxTemplateBytes = 1 << 20;
constexpr size_t kMaxEnds = 1024;

// Null where the file is missing.
Result<Json> ReadOptional(const std::string& path) {
  if (!FileExists(path)) return Json();
  DAMASK_ASSIGN_OR_RETURN(Json json, formats::ReadJsonFile(path));
  if (!json.is_object()) return BadFormat("the file holds no JSON object").At(Quote(path, 300));
  return json;
}

// "<s>" or {"content": "<s>", ...}.
Result<std::optional<std::string>> ReadTokenText(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::optional<std::string>();
  if (found->is_object()) {
    Result<std::optional<std::string>> content = formats::JsonString(*found, "content");
    if (!content.ok()) return content.status().At(fmt::format("key '{}'", key));
    return content;
  }
  return formats::JsonString(config, key);
}

// A string, or a list of {"name", "template"} of which the one named "default" counts.
Result<std::string> ReadTemplate(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array())
    return BadFormat(fmt::format("'chat_template' is {}, expected a string or an array", found->type_name()));
  for (const Json& element : *found) {
    if (!element.is_object()) return BadFormat("an element of 'chat_template' is no object");
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> name, formats::JsonString(element, "name"));
    DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> text, formats::JsonString(element, "template"));
    if (name == "default" && text) return std::move(*text);
  }
  return std::string();
}

Status ReadTokenizerConfig(const std::string& folder, HfConfig* out) {
  const std::string path = folder + "/tokenizer_config.json";
  DAMASK_ASSIGN_OR_RETURN(const Json config, ReadOptional(path));
  if (config.is_null()) return {};
  const auto read = [&]() -> Status {
    DAMASK_ASSIGN_OR_RETURN(out->bos, ReadTokenText(config, "bos_token"));
    DAMASK_ASSIGN_OR_RETURN(out->eos, ReadTokenText(config, "eos_token"));
    DAMASK_ASSIGN_OR_RETURN(out->unk, ReadTokenText(config, "unk_token"));
    DAMASK_ASSIGN_OR_RETURN(out->pad, ReadTokenText(config, "pad_token"));
    DAMASK_ASSIGN_OR_RETURN(out->add_bos, formats::JsonBool(config, "add_bos_token"));
    DAMASK_ASSIGN_OR_RETURN(out->add_eos, formats::JsonBool(config, "add_eos_token"));
    DAMASK_ASSIGN_OR_RETURN(out->chat_template, ReadTemplate(config));
    return {};
  };
  const Status status = read();
  return status.ok() ? status : status.At(Quote(path, 300));
}

// "eos_token_id": a number or a list of them.
Status ReadEnds(const std::string& path, HfConfig* out) {
  DAMASK_ASSIGN_OR_RETURN(const Json config, ReadOptional(path));
  if (config.is_null()) return {};
  const auto found = config.find("eos_token_id");
  if (found == config.end() || found->is_null()) return {};
  const Json ids = found->is_array() ? *found : Json::array({*found});
  if (ids.size() > kMaxEnds)
    return TooLarge(fmt::format("'eos_token_id' has {} elements, at most {} are taken", ids.size(), kMaxEnds))
        .At(Quote(path, 300));
  for (const Json& id : ids) {
    if (!id.is_number_unsigned())
      return BadFormat(fmt::format("'eos_token_id' holds {}, expected token ids", id.type_name())).At(Quote(path, 300));
    out->end_ids.push_back(id.get<uint64_t>());
  }
  return {};
}

// The files that hold a template alone: chat_template.jinja has the last word, and chat_template.json, which older folders of
// models that also read images have, is for folders with no other.
Status ReadTemplateFiles(const std::string& folder, HfConfig* out) {
  const std::string jinja = folder + "/chat_template.jinja";
  if (FileExists(jinja)) {
    DAMASK_ASSIGN_OR_RETURN(out->chat_template, ReadTextFile(jinja, kMaxTemplateBytes));
    return {};
  }
  if (!out->chat_template.empty()) return {};
  const std::string path = folder + "/chat_template.json";
  DAMASK_ASSIGN_OR_RETURN(const Json json, ReadOptional(path));
  if (json.is_null()) return {};
  Result<std::string> text = ReadTemplate(json);
  if (!text.ok()) return text.status().At(Quote(path, 300));
  out->chat_template = *std::move(text);
  return {};
}

}  // namespace

Result<HfConfig> ReadHfConfig(const std::string& folder) {
  HfConfig config;
  DAMASK_RETURN_IF_ERROR(ReadTokenizerConfig(folder, &config));
  DAMASK_RETURN_IF_ERROR(ReadEnds(folder + "/generation_config.json", &config));
  if (config.end_ids.empty()) DAMASK_RETURN_IF_ERROR(ReadEnds(folder + "/config.json", &config));
  DAMASK_RETURN_IF_ERROR(ReadTemplateFiles(folder, &config));
  return config;
}

}  // namespace damask::tokenizer
