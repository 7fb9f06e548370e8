// ModelConfig from a Hugging Face config.json. Field names: the transformers library's LlamaConfig, MistralConfig,
// Qwen2Config, Qwen3Config, Qwen3MoeConfig, MixtralConfig, Phi3Config, SmolLM3Config, GraniteConfig, SeedOssConfig and
// Gemma3TextConfig.
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "formats/json.h"
#include "model/config.h"
#include "model/config_check.h"
#include "model/config_gemma.h"
#include "model/config_hf_rope.h"
#include "model/config_windows.h"

namespace damask::model {
namespace {

using formats::Json;
using formats::JsonBool;
using formats::JsonNumber;
using formats::JsonString;
using formats::JsonUint;

Result<uint64_t> Uint(const Json& config, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> value, JsonUint(config, key));
  if (!value) return BadFormat(fmt::format("the field {} is missing", key));
  return *value;
}

struct ModelType {
  std::string_view name;
  Architecture architecture;
};
// Mixtral is a llama with experts, as GGUF files have it.
constexpr ModelType kModelTypes[] = {
    {"llama", Architecture::kLlama},        {"mistral", Architecture::kMistral}, {"mixtral", Architecture::kLlama},
    {"qwen2", Architecture::kQwen2},        {"qwen3", Architecture::kQwen3},     {"qwen3_moe", Architecture::kQwen3Moe},
    {"phi3", Architecture::kPhi3},          {"smollm3", Architecture::kSmolLm3}, {"granite", Architecture::kGranite},
    {"gemma3_text", Architecture::kGemma3}, {"gemma3", Architecture::kGemma3},   {"seed_oss", Architecture::kSeedOss}};

Result<Architecture> ReadArchitecture(const Json& config) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> type, JsonString(config, "model_type"));
  if (!type) return BadFormat("the field model_type is missing");
  if (*type == "gpt_oss") return Unsupported("Hugging Face folders of gpt_oss are not supported, use a GGUF file");
  std::string known;
  for (const ModelType& row : kModelTypes) {
    if (row.name == *type) return row.architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  return Unsupported(fmt::format("the model_type {} is not supported; damask runs {}", Quote(*type), known));
}

// mistral, mixtral, phi3: one window for all layers. qwen: only with use_sliding_window, in the layers that layer_types names;
// where no types are listed, from max_window_layers on.
Status ReadWindows(const Json& json, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> window, JsonUint(json, "sliding_window"));
  if (!window || *window == 0 || *window >= config->context) return {};
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> type, JsonString(json, "model_type"));
  if (config->architecture == Architecture::kMistral || config->architecture == Architecture::kPhi3 || type == "mixtral") {
    config->windows.assign(config->layers, static_cast<uint32_t>(*window));
    return {};
  }
  DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> used, JsonBool(json, "use_sliding_window"));
  if (!used.value_or(false)) return {};
  constexpr uint64_t kFirst = 28;  // transformers' default
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> first, JsonUint(json, "max_window_layers"));
  WindowPattern windows = {.window = *window, .window_name = "sliding_window", .pattern_name = "layer_types"};
  DAMASK_ASSIGN_OR_RETURN(windows.layers, ReadLayerTypes(json, config->layers));
  if (!windows.layers) {
    windows.layers.emplace(config->layers);
    for (size_t layer = first.value_or(kFirst); layer < config->layers; ++layer) (*windows.layers)[layer] = true;
  }
  return SetWindowPattern(windows, config);
}

// smollm3: a list with 0 for the layers that do not rotate, or their interval.
Status ReadUnrotated(const Json& json, ModelConfig* config) {
  if (config->architecture != Architecture::kSmolLm3) return {};
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> interval, JsonUint(json, "no_rope_layer_interval"));
  config->unrotated_every = interval.value_or(kSmolLm3UnrotatedEvery);
  DAMASK_RETURN_IF_ERROR(CheckInRange("no_rope_layer_interval", config->unrotated_every, 1, limits::kMaxLayers));
  const auto listed = json.find("no_rope_layers");
  if (listed == json.end() || listed->is_null()) return {};
  bool fits = listed->is_array() && listed->size() == config->layers;
  for (size_t layer = 0; fits && layer < config->layers; ++layer) {
    fits = (*listed)[layer] == (config->rotates(layer) ? 1 : 0);
  }
  if (fits) return {};
  return Unsupported(
      fmt::format("no_rope_layers is not what no_rope_layer_interval says: a 0 for every {}th layer", config->unrotated_every));
}

// The two families name everything differently. Layers without experts among those with them are not supported.
Status ReadExperts(const Json& json, ModelConfig* config) {
  const bool qwen = config->architecture == Architecture::kQwen3Moe;
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> type, JsonString(json, "model_type"));
  const char* const count_key = qwen ? "num_experts" : "num_local_experts";
  if (!qwen && type != "mixtral") {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> count, JsonUint(json, count_key));
    if (count.value_or(0) == 0) return {};
    return Unsupported(fmt::format("{} is {}: experts are supported for mixtral and qwen3_moe only", count_key, *count));
  }
  DAMASK_ASSIGN_OR_RETURN(config->experts, Uint(json, count_key));
  DAMASK_RETURN_IF_ERROR(CheckInRange(count_key, config->experts, 1, limits::kMaxExperts));
  DAMASK_ASSIGN_OR_RETURN(config->experts_used, Uint(json, "num_experts_per_tok"));
  if (!qwen) return {};
  DAMASK_ASSIGN_OR_RETURN(config->ffn, Uint(json, "moe_intermediate_size"));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> normalised, JsonBool(json, "norm_topk_prob"));
  config->shares_sum_to_one = normalised.value_or(false);
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> step, JsonUint(json, "decoder_sparse_step"));
  const auto dense = json.find("mlp_only_layers");
  if (step.value_or(1) == 1 && (dense == json.end() || dense->is_null() || dense->empty())) return {};
  return Unsupported("decoder_sparse_step and mlp_only_layers leave layers without experts, which is not supported");
}

Status RefuseOtherActivations(const Json& json, Architecture architecture) {
  const bool gelu = architecture == Architecture::kGemma3;
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> activation, JsonString(json, key));
    if (!activation) continue;
    const bool known = gelu ? *activation == "gelu_pytorch_tanh" : *activation == "silu" || *activation == "swish";
    if (known) continue;
    return Unsupported(fmt::format("{} is {}, only {} is supported for {}", key, Quote(*activation),
                                   gelu ? "gelu_pytorch_tanh" : "silu", ArchitectureName(architecture)));
  }
  return {};
}

Status RefuseQuantised(const Json& json) {
  if (const auto it = json.find("quantization_config"); it != json.end() && !it->is_null()) {
    return Unsupported("quantization_config is set: quantised Hugging Face folders are not supported, use a GGUF file");
  }
  return {};
}

FieldNames NamesOf(const ModelConfig& config) {
  const bool qwen_experts = config.architecture == Architecture::kQwen3Moe;
  return {.layers = "num_hidden_layers",
          .width = "hidden_size",
          .heads = "num_attention_heads",
          .kv_heads = "num_key_value_heads",
          .head_dim = "head_dim",
          .ffn = qwen_experts ? "moe_intermediate_size" : "intermediate_size",
          .vocab = "vocab_size",
          .context = "max_position_embeddings",
          .rms_epsilon = "rms_norm_eps",
          .rope_base = "rope_theta",
          .rope_dims = "head_dim x partial_rotary_factor",
          .rope_factor = "rope_scaling.factor",
          .experts = qwen_experts ? "num_experts" : "num_local_experts",
          .experts_used = "num_experts_per_tok"};
}

// Models that embed texts may be of the same types.
Status RefuseBothDirections(const Json& json) {
  for (const auto& [key, refused] : {std::pair("is_causal", false), {"use_bidirectional_attention", true}}) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> value, JsonBool(json, key));
    if (value == refused) return Unsupported(fmt::format("{} is {}, only causal attention is supported", key, refused));
  }
  return {};
}

Result<ModelConfig> ReadConfig(const Json& json, ModelConfig config) {
  DAMASK_RETURN_IF_ERROR(RefuseBothDirections(json));
  DAMASK_RETURN_IF_ERROR(RefuseOtherActivations(json, config.architecture));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> name, JsonString(json, "_name_or_path"));
  config.name = name.value_or("");
  DAMASK_ASSIGN_OR_RETURN(config.layers, Uint(json, "num_hidden_layers"));
  DAMASK_ASSIGN_OR_RETURN(config.width, Uint(json, "hidden_size"));
  DAMASK_ASSIGN_OR_RETURN(config.heads, Uint(json, "num_attention_heads"));
  DAMASK_ASSIGN_OR_RETURN(config.ffn, Uint(json, "intermediate_size"));
  DAMASK_RETURN_IF_ERROR(ReadExperts(json, &config));
  DAMASK_ASSIGN_OR_RETURN(config.vocab, Uint(json, "vocab_size"));
  DAMASK_ASSIGN_OR_RETURN(config.context, Uint(json, "max_position_embeddings"));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> kv_heads, JsonUint(json, "num_key_value_heads"));
  config.kv_heads = kv_heads.value_or(config.heads);
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> head_dim, JsonUint(json, "head_dim"));
  if (config.heads == 0) return BadFormat("num_attention_heads is 0, expected at least 1");
  if (!head_dim && config.width % config.heads != 0) {
    return BadFormat(
        fmt::format("hidden_size is {}, which is no multiple of num_attention_heads = {}", config.width, config.heads));
  }
  config.head_dim = head_dim.value_or(config.width / config.heads);
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> epsilon, JsonNumber(json, "rms_norm_eps"));
  config.rms_epsilon = static_cast<float>(epsilon.value_or(1e-6));
  DAMASK_RETURN_IF_ERROR(ReadHuggingFaceRope(json, &config));
  DAMASK_RETURN_IF_ERROR(CheckConfig(config, NamesOf(config)));
  DAMASK_RETURN_IF_ERROR(config.architecture == Architecture::kGemma3 ? ReadGemma3(json, &config) : ReadWindows(json, &config));
  DAMASK_RETURN_IF_ERROR(ReadUnrotated(json, &config));
  if (config.architecture == Architecture::kGranite) {
    const auto read = [&json](const std::string& key) { return JsonNumber(json, key); };
    DAMASK_RETURN_IF_ERROR(ReadGraniteScales(
        {"attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling"}, read, &config));
  }
  DAMASK_ASSIGN_OR_RETURN(config.tied, JsonBool(json, "tie_word_embeddings"));
  return config;
}

}  // namespace

Result<ModelConfig> ConfigFromHuggingFace(const Json& json) {
  if (!json.is_object()) return BadFormat("is not a JSON object");
  ModelConfig config;
  DAMASK_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(json));
  DAMASK_RETURN_IF_ERROR(RefuseQuantised(json));
  if (config.architecture != Architecture::kGemma3) return ReadConfig(json, std::move(config));
  DAMASK_ASSIGN_OR_RETURN(const Json text, Gemma3TextConfig(json));
  return ReadConfig(text, std::move(config));
}

}  // namespace damask::model
