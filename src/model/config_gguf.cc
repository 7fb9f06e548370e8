// ModelConfig from GGUF metadata. Key names: the GGUF specification and llama.cpp's model files.
#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "model/config.h"
#include "model/config_check.h"
#include "model/gguf_keys.h"

namespace damask::model {
namespace {

using formats::GgufFile;

Result<Architecture> ReadArchitecture(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.architecture"));
  if (!name) return BadFormat("the key general.architecture is missing");
  if (const std::optional<Architecture> architecture = ParseArchitecture(*name)) return *architecture;
  return Unsupported(fmt::format("the architecture {} is not supported; damask runs {}", Quote(*name), ArchitectureNames()));
}

Status ReadRope(const GgufKeys& keys, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  rope.kind = config->traits().rope;
  // Of GLM-4 models that read images, whose rotations have parts, files hold halves.
  if (config->architecture == Architecture::kGlm4 && keys.file().IsArray(keys.Key("rope.dimension_sections"))) {
    rope.kind = kernels::RopeKind::kHalves;
  }
  DAMASK_ASSIGN_OR_RETURN(rope.dims, keys.UintOr("rope.dimension_count", config->head_dim));
  DAMASK_ASSIGN_OR_RETURN(rope.base, keys.FloatOr("rope.freq_base", 10000.0));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> type, keys.file().GetString(keys.Key("rope.scaling.type")));
  // Phi-3's longrope is its factors, which are tensors.
  const bool longrope = type && *type == "longrope" && config->architecture == Architecture::kPhi3;
  if (type && !longrope) {
    Result<RopeScaling> scaling = ParseRopeScaling(*type);
    if (!scaling.ok()) return scaling.status().At(keys.Key("rope.scaling.type"));
    rope.scaling = *scaling;
  }
  // Old files have only the linear factor, without a type.
  DAMASK_ASSIGN_OR_RETURN(const double old_factor, keys.FloatOr("rope.scale_linear", 1.0));
  DAMASK_ASSIGN_OR_RETURN(rope.factor, keys.FloatOr("rope.scaling.factor", old_factor));
  if (rope.factor == 0.0) rope.factor = 1.0;
  if (!type && rope.factor != 1.0) rope.scaling = RopeScaling::kLinear;
  if (rope.scaling == RopeScaling::kNone) rope.factor = 1.0;
  DAMASK_ASSIGN_OR_RETURN(rope.original_context, keys.UintOr("rope.scaling.original_context_length", config->context));
  DAMASK_ASSIGN_OR_RETURN(rope.attention_factor, keys.FloatOr("rope.scaling.attn_factor", 1.0));
  DAMASK_ASSIGN_OR_RETURN(rope.beta_fast, keys.FloatOr("rope.scaling.yarn_beta_fast", 32.0));
  DAMASK_ASSIGN_OR_RETURN(rope.beta_slow, keys.FloatOr("rope.scaling.yarn_beta_slow", 1.0));
  return {};
}

// The vocabulary's size stands in three places; the embedding has the last word when weights are loaded.
Result<uint64_t> ReadVocab(const GgufKeys& keys) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string_view>* tokens, keys.file().GetStringArray("tokenizer.ggml.tokens"));
  const uint64_t listed = tokens == nullptr ? 0 : tokens->size();
  DAMASK_ASSIGN_OR_RETURN(const uint64_t stated, keys.UintOr("vocab_size", listed));
  if (tokens != nullptr && stated != listed) {
    return BadFormat(fmt::format("{} is {}, but tokenizer.ggml.tokens has {} entries", keys.Key("vocab_size"), stated, listed));
  }
  return stated;
}

// Layers that guess ahead count among the blocks.
Status ReadLayers(const GgufKeys& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(config->layers, keys.Uint("block_count"));
  DAMASK_ASSIGN_OR_RETURN(config->guessing_layers, keys.UintOr("nextn_predict_layers", 0));
  if (config->guessing_layers == 0) return {};
  if (!config->traits().guesses_ahead) {
    return Unsupported(
        fmt::format("{} is {}, which is not supported", keys.Key("nextn_predict_layers"), config->guessing_layers));
  }
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("block_count"), config->layers, 1, limits::kMaxLayers));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("nextn_predict_layers"), config->guessing_layers, 0, config->layers - 1));
  config->layers -= config->guessing_layers;
  return {};
}

FieldNames NamesOf(const GgufKeys& keys, const ModelConfig& config) {
  return {.layers = keys.Key("block_count"),
          .width = keys.Key("embedding_length"),
          .heads = keys.Key("attention.head_count"),
          .kv_heads = keys.Key("attention.head_count_kv"),
          .head_dim = keys.Key("attention.key_length"),
          .ffn = keys.Key(config.traits().experts == ExpertUse::kAlways ? "expert_feed_forward_length" : "feed_forward_length"),
          .vocab = "the number of tokenizer.ggml.tokens",
          .context = keys.Key("context_length"),
          .rms_epsilon = keys.Key("attention.layer_norm_rms_epsilon"),
          .rope_base = keys.Key("rope.freq_base"),
          .rope_dims = keys.Key("rope.dimension_count"),
          .rope_factor = keys.Key("rope.scaling.factor"),
          .experts = keys.Key("expert_count"),
          .experts_used = keys.Key("expert_used_count")};
}

// key_length where the file has it; else width / heads, which must then divide.
Result<uint64_t> ReadHeadDim(const GgufKeys& keys, const ModelConfig& config) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t key_length, keys.UintOr("attention.key_length", 0));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t value_length, keys.UintOr("attention.value_length", key_length));
  if (key_length != value_length) {
    return Unsupported(fmt::format("{} is {} and {} is {}: keys and values of different size are not supported",
                                   keys.Key("attention.key_length"), key_length, keys.Key("attention.value_length"),
                                   value_length));
  }
  if (key_length != 0) return key_length;
  if (config.heads == 0) return BadFormat(fmt::format("{} is 0, expected at least 1", keys.Key("attention.head_count")));
  if (config.width % config.heads != 0) {
    return BadFormat(fmt::format("{} is {}, which is no multiple of {} = {}", keys.Key("embedding_length"), config.width,
                                 keys.Key("attention.head_count"), config.heads));
  }
  return config.width / config.heads;
}

}  // namespace

Result<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  ModelConfig config;
  DAMASK_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(file));
  const GgufKeys keys(file, std::string(ArchitectureName(config.architecture)));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.name"));
  config.name = SanitizeUtf8(name.value_or(""));
  DAMASK_RETURN_IF_ERROR(ReadLayers(keys, &config));
  DAMASK_ASSIGN_OR_RETURN(config.width, keys.Uint("embedding_length"));
  DAMASK_ASSIGN_OR_RETURN(config.ffn, keys.SameInAllLayers("feed_forward_length", 0));
  DAMASK_RETURN_IF_ERROR(ReadExperts(keys, &config));
  DAMASK_ASSIGN_OR_RETURN(config.heads, keys.SameInAllLayers("attention.head_count", 0));
  DAMASK_ASSIGN_OR_RETURN(config.kv_heads, keys.SameInAllLayers("attention.head_count_kv", config.heads));
  DAMASK_ASSIGN_OR_RETURN(config.head_dim, ReadHeadDim(keys, config));
  DAMASK_ASSIGN_OR_RETURN(const bool causal, keys.BoolOr("attention.causal", true));  // not where a model embeds texts
  if (!causal) {
    return Unsupported(fmt::format("{} is false, only causal attention is supported", keys.Key("attention.causal")));
  }
  DAMASK_ASSIGN_OR_RETURN(config.context, keys.Uint("context_length"));
  DAMASK_ASSIGN_OR_RETURN(config.vocab, ReadVocab(keys));
  DAMASK_ASSIGN_OR_RETURN(const double epsilon, keys.FloatOr("attention.layer_norm_rms_epsilon", 1e-5));
  config.rms_epsilon = static_cast<float>(epsilon);
  DAMASK_RETURN_IF_ERROR(ReadRope(keys, &config));
  if (config.architecture == Architecture::kSmolLm3) config.unrotated_every = kSmolLm3UnrotatedEvery;  // there is no key
  DAMASK_RETURN_IF_ERROR(CheckConfig(config, NamesOf(keys, config)));
  DAMASK_RETURN_IF_ERROR(ReadOwnKeys(keys, &config));
  return config;
}

}  // namespace damask::model
