#include "report/model_info.h"

#include <fmt/format.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/text.h"
#include "formats/gguf.h"
#include "formats/hf_folder.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "tokenizer/chat_template.h"

namespace damask::report {
namespace {

TokenizerInfo DescribeTokenizer(const tokenizer::Tokenizer& tokenizer) {
  TokenizerInfo info;
  info.description = tokenizer.description();
  info.vocab = tokenizer.vocab_size();
  info.special = tokenizer.special();
  info.has_chat_template = !tokenizer.chat_template().empty();
  if (const auto family = tokenizer::DetectChatFamily(tokenizer.chat_template())) {
    info.chat_family = std::string(tokenizer::ChatFamilyName(*family));
  }
  return info;
}

void AddCosts(uint64_t kv_bytes_per_token, uint64_t context, ModelInfo* info) {
  info->run_context = context;
  info->kv_bytes_per_token = kv_bytes_per_token;
  info->kv_bytes = CheckedMul(kv_bytes_per_token, context).value_or(UINT64_MAX);
  const uint64_t weights = CheckedAdd(info->file_bytes, info->repacked_bytes).value_or(UINT64_MAX);
  info->memory_bytes = CheckedAdd(info->kv_bytes, weights).value_or(UINT64_MAX);
}

ModelInfo DescribeEngine(const engine::Engine& engine) {
  const model::Model& model = engine.model();
  ModelInfo info;
  info.path = ModelName(engine);
  info.format = model.format();
  info.architecture = model::ArchitectureName(model.config().architecture);
  info.dominant_type = model::DominantType(model.tensors());
  info.file_bytes = model.file_bytes();
  info.parameters = model.parameters();
  info.tensors = model.tensors();
  info.config = model.config();
  info.tokenizer = DescribeTokenizer(engine.tokenizer());
  info.target = engine.target();
  info.threads = engine.threads();
  info.kernels = engine.Kernels();
  info.kv_type = engine.kv_type();
  info.repacked_bytes = engine.repacked_bytes();
  AddCosts(engine.kv_bytes_per_token(), engine.context(), &info);
  return info;
}

void AddTensors(const std::vector<formats::TensorInfo>& tensors, ModelInfo* info) {
  for (const formats::TensorInfo& tensor : tensors) {
    info->tensors.push_back(model::Summarise(tensor));
    info->parameters += CheckedMul(tensor.rows(), tensor.columns()).value_or(0);
  }
  if (!info->tensors.empty()) info->dominant_type = model::DominantType(info->tensors);
}

// What a run would take of a model whose shape is known.
Status AddRun(const engine::EngineOptions& options, Result<model::ModelConfig> config, ModelInfo* info) {
  DAMASK_ASSIGN_OR_RETURN(info->target, ParseTarget(options.target));
  info->kv_type = model::Forward::PageType(info->target, options.kv);
  info->threads = options.threads == 0 ? DefaultThreadCount() : options.threads;
  if (!config.ok()) return {};
  const uint64_t per_token = model::KvCache::BytesPerToken(*config, info->kv_type);
  AddCosts(per_token, options.context == 0 ? config->context : options.context, info);
  info->config = *std::move(config);
  return {};
}

// The parts of a GGUF file that can be read, each for itself.
Result<ModelInfo> DescribeGguf(const engine::EngineOptions& options) {
  DAMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const formats::GgufFile> file,
                          formats::GgufFile::Open(options.model_path, {.load = options.load, .require_tensor_data = false}));
  ModelInfo info;
  info.path = SanitizeUtf8(options.model_path);
  info.format = fmt::format("GGUF v{}", file->version());
  info.file_bytes = file->file_bytes();
  if (const auto name = file->GetString("general.architecture"); name.ok() && *name) info.architecture = SanitizeUtf8(**name);
  AddTensors(file->tensors(), &info);
  if (const auto loaded = tokenizer::Tokenizer::FromGguf(*file); loaded.ok()) info.tokenizer = DescribeTokenizer(**loaded);
  DAMASK_RETURN_IF_ERROR(AddRun(options, model::ConfigFromGguf(*file), &info));
  return info;
}

// The same of a Hugging Face folder.
Result<ModelInfo> DescribeFolder(const engine::EngineOptions& options) {
  const std::string& folder = options.model_path;
  DAMASK_ASSIGN_OR_RETURN(const formats::Json json, formats::ReadModelConfig(folder));
  DAMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const formats::SafetensorsFiles> files,
                          formats::SafetensorsFiles::OpenFolder(folder, options.load));
  ModelInfo info;
  info.path = SanitizeUtf8(folder);
  info.format = "Hugging Face folder";
  info.file_bytes = files->file_bytes();
  if (const auto type = formats::JsonString(json, "model_type"); type.ok() && *type) info.architecture = SanitizeUtf8(**type);
  AddTensors(files->tensors(), &info);
  if (const auto loaded = tokenizer::Tokenizer::FromHuggingFace(folder); loaded.ok()) {
    info.tokenizer = DescribeTokenizer(**loaded);
  }
  DAMASK_RETURN_IF_ERROR(AddRun(options, model::ConfigFromHuggingFace(json), &info));
  return info;
}

Json Optional(const std::optional<tokenizer::TokenId>& id) { return id ? Json(*id) : Json(nullptr); }

Json TokenizerJson(const TokenizerInfo& tokenizer) {
  return {{"type", tokenizer.description},
          {"vocab", tokenizer.vocab},
          {"bos", Optional(tokenizer.special.bos)},
          {"eos", Optional(tokenizer.special.eos)},
          {"eot", Optional(tokenizer.special.eot)},
          {"unk", Optional(tokenizer.special.unk)},
          {"pad", Optional(tokenizer.special.pad)},
          {"add_bos", tokenizer.special.add_bos},
          {"add_eos", tokenizer.special.add_eos},
          {"has_chat_template", tokenizer.has_chat_template},
          {"chat_template", tokenizer.chat_family ? Json(*tokenizer.chat_family) : Json(nullptr)}};
}

Json RopeJson(const model::RopeConfig& rope) {
  return {{"dims", rope.dims},
          {"base", rope.base},
          {"scaling", model::RopeScalingName(rope.scaling)},
          {"factor", rope.factor},
          {"original_context", rope.original_context},
          {"longrope", rope.factors().empty() ? Json(nullptr) : Json(rope.takes_long ? "long" : "short")}};
}

void AddConfig(const model::ModelConfig& config, Json* object) {
  Json& out = *object;
  out["name"] = SanitizeUtf8(config.name);
  out["layers"] = config.layers;
  out["width"] = config.width;
  out["heads"] = config.heads;
  out["kv_heads"] = config.kv_heads;
  out["head_dim"] = config.head_dim;
  out["ffn"] = config.ffn;
  out["experts"] = config.experts;
  out["experts_used"] = config.experts_used;
  out["shared_ffn"] = config.shared_ffn;
  out["dense_layers"] = config.dense_layers;
  out["dense_ffn"] = config.dense_ffn;
  out["guessing_layers"] = config.guessing_layers;
  out["vocab"] = config.vocab;
  out["context"] = config.context;
  out["rope"] = RopeJson(config.rope);
  out["rope"]["window_base"] = config.window_rope_base == 0.0 ? Json(nullptr) : Json(config.window_rope_base);
  out["sliding_window"] = config.windows;
  out["attention_sinks"] = config.has_sinks();
}

}  // namespace

Result<ModelInfo> DescribeModel(const engine::EngineOptions& options) {
  const Result<std::unique_ptr<engine::Engine>> engine = engine::Engine::Load(options);
  if (engine.ok()) return DescribeEngine(**engine);
  if (options.model_path.empty()) return engine.status();
  // A model that loads by itself runs: the fault lies in what else was asked for.
  if (model::Model::Load(options.model_path, {.load = options.load}).ok()) return engine.status();
  Result<ModelInfo> info = IsDirectory(options.model_path) ? DescribeFolder(options) : DescribeGguf(options);
  if (!info.ok()) return engine.status();
  info->unrunnable = engine.status().ToString();
  return info;
}

Json InfoJson(const ModelInfo& info) {
  Json object = {{"model", info.path}, {"format", info.format}, {"architecture", info.architecture}};
  object["runnable"] = !info.unrunnable;
  object["reason"] = info.unrunnable ? Json(*info.unrunnable) : Json(nullptr);
  object["parameters"] = info.parameters;
  object["file_bytes"] = info.file_bytes;
  object["type"] = info.dominant_type;
  if (info.config) AddConfig(*info.config, &object);
  object["tokenizer"] = info.tokenizer ? TokenizerJson(*info.tokenizer) : Json(nullptr);
  object["run_context"] = info.run_context;
  object["kv_type"] = kernels::KvTypeName(info.kv_type);
  object["kv_bytes_per_token"] = info.kv_bytes_per_token;
  object["kv_bytes"] = info.kv_bytes;
  object["repacked_bytes"] = info.repacked_bytes;
  object["memory_bytes"] = info.memory_bytes;
  object["cpu"] = CpuModelName();
  object["target"] = TargetName(info.target);
  object["threads"] = info.threads;
  object["kernels"] = Json::object();
  for (const auto& [step, body] : info.kernels) object["kernels"][step] = body;
  object["tensors"] = Json::array();
  for (const model::TensorSummary& tensor : info.tensors) {
    object["tensors"].push_back(
        {{"name", SanitizeUtf8(tensor.name)}, {"type", tensor.type}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
  }
  return object;
}

}  // namespace damask::report
