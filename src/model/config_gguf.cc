// ModelConfig from GGUF metadata. Key names: the GGUF specification and llama.cpp's model files.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "model/config.h"
#include "model/config_check.h"
#include "model/config_gemma.h"
#include "model/config_windows.h"

namespace damask::model {
namespace {

using formats::GgufFile;

// Reads the keys of one architecture, "llama.block_count" and so on.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string Key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }

  Result<uint64_t> Uint(std::string_view name) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> value, file_.GetUint(Key(name)));
    if (!value) return BadFormat(fmt::format("the key {} is missing", Key(name)));
    return *value;
  }
  Result<uint64_t> UintOr(std::string_view name, uint64_t otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> value, file_.GetUint(Key(name)));
    return value.value_or(otherwise);
  }
  Result<double> FloatOr(std::string_view name, double otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> value, file_.GetFloat(Key(name)));
    return value.value_or(otherwise);
  }
  Result<bool> BoolOr(std::string_view name, bool otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> value, file_.GetBool(Key(name)));
    return value.value_or(otherwise);
  }
  // Scalars or per-layer arrays whose layers all agree.
  Result<uint64_t> SameInAllLayers(std::string_view name, uint64_t otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<uint64_t> values, file_.GetUintOrArray(Key(name)));
    if (values.empty()) return otherwise;
    if (std::any_of(values.begin(), values.end(), [&](uint64_t v) { return v != values[0]; })) {
      return Unsupported(fmt::format("the key {} differs from layer to layer", Key(name)));
    }
    return values[0];
  }

  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Result<Architecture> ReadArchitecture(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.architecture"));
  if (!name) return BadFormat("the key general.architecture is missing");
  if (const std::optional<Architecture> architecture = ParseArchitecture(*name)) return *architecture;
  return Unsupported(fmt::format("the architecture {} is not supported; damask runs {}", Quote(*name), ArchitectureNames()));
}

// Every so manieth layer has no window, where a file does not say.
constexpr uint64_t kGptOssPattern = 2;
constexpr uint64_t kOlmo3Pattern = 4;

Status ReadGating(const KeyReader& keys, ModelConfig* config) {
  const auto usual = static_cast<uint64_t>(config->traits().gating);
  DAMASK_ASSIGN_OR_RETURN(const uint64_t gating, keys.UintOr("expert_gating_func", usual));
  // A 0 leaves the choice to the architecture.
  if (gating != usual && gating != 0) {
    return Unsupported(fmt::format("{} is {}, only {} is supported for {}", keys.Key("expert_gating_func"), gating, usual,
                                   config->traits().name));
  }
  config->gating = config->traits().gating;
  DAMASK_ASSIGN_OR_RETURN(const double scale, keys.FloatOr("expert_weights_scale", 1.0));
  if (config->architecture == Architecture::kGlm4Moe) {
    DAMASK_ASSIGN_OR_RETURN(config->shares_sum_to_one, keys.BoolOr("expert_weights_norm", false));
    DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key("expert_weights_scale"), scale));
    if (scale != 0.0) config->expert_scale = static_cast<float>(scale);
    return {};
  }
  if (scale == 0.0 || scale == 1.0) return {};
  return Unsupported(fmt::format("{} is {}, only 1 is supported", keys.Key("expert_weights_scale"), scale));
}

// Layers without experts that come first, and the network that all tokens take.
Status ReadDenseParts(const KeyReader& keys, ModelConfig* config) {
  const bool has_them = config->architecture == Architecture::kGlm4Moe || config->architecture == Architecture::kErnie45Moe;
  DAMASK_ASSIGN_OR_RETURN(config->dense_layers, keys.UintOr("leading_dense_block_count", 0));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t shared, keys.UintOr("expert_shared_count", 0));
  if (!has_them) {
    for (const auto& [key, count] : {std::pair<const char*, uint64_t>{"leading_dense_block_count", config->dense_layers},
                                     std::pair<const char*, uint64_t>{"expert_shared_count", shared}}) {
      if (count != 0) return Unsupported(fmt::format("{} is {}, which is not supported", keys.Key(key), count));
    }
    return {};
  }
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("leading_dense_block_count"), config->dense_layers, 0, config->layers));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_shared_count"), shared, 0, limits::kMaxExperts));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_feed_forward_length"), config->ffn, 1, limits::kMaxWidth));
  DAMASK_ASSIGN_OR_RETURN(config->shared_ffn, keys.UintOr("expert_shared_feed_forward_length", shared * config->ffn));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_shared_feed_forward_length"), config->shared_ffn, 0, limits::kMaxWidth));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t step, keys.UintOr("interleave_moe_layer_step", 1));
  if (step == 1) return {};
  return Unsupported(fmt::format("{} is {}, only 1 is supported", keys.Key("interleave_moe_layer_step"), step));
}

// Mixtral calls itself llama; others have a name for their mixtures.
Status ReadExperts(const KeyReader& keys, ModelConfig* config) {
  const ExpertUse use = config->traits().experts;
  const bool always = use == ExpertUse::kAlways;
  DAMASK_ASSIGN_OR_RETURN(config->experts, always ? keys.Uint("expert_count") : keys.UintOr("expert_count", 0));
  if (config->experts == 0 && !always) return {};
  if (use == ExpertUse::kNever) {
    return Unsupported(fmt::format("{} is {}: experts are supported for {} only", keys.Key("expert_count"), config->experts,
                                   ArchitecturesWithExperts()));
  }
  DAMASK_RETURN_IF_ERROR(ReadGating(keys, config));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_count"), config->experts, 1, limits::kMaxExperts));
  DAMASK_ASSIGN_OR_RETURN(config->experts_used, keys.Uint("expert_used_count"));
  if (always) {
    // Where it is missing llama.cpp shares the feed-forward length out.
    DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_used_count"), config->experts_used, 1, config->experts));
    config->dense_ffn = config->ffn;
    DAMASK_ASSIGN_OR_RETURN(config->ffn, keys.UintOr("expert_feed_forward_length", config->ffn / config->experts_used));
  }
  DAMASK_RETURN_IF_ERROR(ReadDenseParts(keys, config));
  if (config->dense_layers == 0) {
    config->dense_ffn = 0;
    return {};
  }
  return CheckInRange(keys.Key("feed_forward_length"), config->dense_ffn, 1, limits::kMaxWidth);
}

Status ReadRope(const KeyReader& keys, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  rope.kind = config->traits().rope;
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
Result<uint64_t> ReadVocab(const KeyReader& keys) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string_view>* tokens, keys.file().GetStringArray("tokenizer.ggml.tokens"));
  const uint64_t listed = tokens == nullptr ? 0 : tokens->size();
  DAMASK_ASSIGN_OR_RETURN(const uint64_t stated, keys.UintOr("vocab_size", listed));
  if (tokens != nullptr && stated != listed) {
    return BadFormat(fmt::format("{} is {}, but tokenizer.ggml.tokens has {} entries", keys.Key("vocab_size"), stated, listed));
  }
  return stated;
}

// `usual`: the pattern where a file does not say.
Result<WindowPattern> ReadWindowPattern(const KeyReader& keys, uint64_t usual) {
  WindowPattern windows = {.window_name = keys.Key("attention.sliding_window"),
                           .pattern_name = keys.Key("attention.sliding_window_pattern")};
  DAMASK_ASSIGN_OR_RETURN(windows.window, keys.Uint("attention.sliding_window"));
  DAMASK_ASSIGN_OR_RETURN(windows.pattern, keys.UintOr("attention.sliding_window_pattern", usual));
  return windows;
}

// llama.cpp knows the model of 27 billion by its layers: no key holds the scale of its scores.
Status ReadGemma3Keys(const KeyReader& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const WindowPattern windows, ReadWindowPattern(keys, kGemma3Pattern));
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    DAMASK_ASSIGN_OR_RETURN(const double cap, keys.FloatOr(key, 0.0));
    if (cap != 0.0) return Unsupported(fmt::format("{} is {}, which is not supported", keys.Key(key), cap));
  }
  DAMASK_RETURN_IF_ERROR(SetGemma3(windows, config));
  DAMASK_ASSIGN_OR_RETURN(config->window_rope_base, keys.FloatOr("rope.freq_base_swa", config->window_rope_base));
  DAMASK_RETURN_IF_ERROR(CheckRopeBase(keys.Key("rope.freq_base_swa"), config->window_rope_base));
  if (config->layers == kGemma3LargestLayers) {
    config->query_scale = std::sqrt(static_cast<float>(config->head_dim * config->heads) / static_cast<float>(config->width));
  }
  return {};
}

// Layers by turns with a window and without, gates that are cut off. Source: llama.cpp's src/models/openai-moe-iswa.cpp.
Status ReadGptOss(const KeyReader& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const WindowPattern windows, ReadWindowPattern(keys, kGptOssPattern));
  config->gate = kernels::GateFunction::kClamped;
  return SetWindowPattern(windows, config);
}

// Windows in three layers of four, whose rotations nothing scales (OLMo 3); OLMo 2 has none.
Status ReadOlmo2(const KeyReader& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, keys.UintOr("attention.sliding_window", 0));
  if (window == 0) return {};
  DAMASK_ASSIGN_OR_RETURN(const WindowPattern windows, ReadWindowPattern(keys, kOlmo3Pattern));
  DAMASK_RETURN_IF_ERROR(SetWindowPattern(windows, config));
  DAMASK_ASSIGN_OR_RETURN(config->window_rope_base, keys.FloatOr("rope.freq_base_swa", config->rope.base));
  return CheckRopeBase(keys.Key("rope.freq_base_swa"), config->window_rope_base);
}

// yarn's temperature with a factor before its logarithm, of which YaRN's own is taken back; and queries that grow with their
// position. Source: llama.cpp's src/models/mistral3.cpp.
Status ReadMistral3(const KeyReader& keys, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  DAMASK_ASSIGN_OR_RETURN(const double log_factor, keys.FloatOr("rope.scaling.yarn_log_multiplier", 0.0));
  DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key("rope.scaling.yarn_log_multiplier"), log_factor));
  if (log_factor != 0.0) rope.attention_factor /= 1.0 + log_factor * (YarnTemperature(rope.factor) - 1.0);
  DAMASK_ASSIGN_OR_RETURN(const double scale, keys.FloatOr("attention.temperature_scale", 0.0));
  DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key("attention.temperature_scale"), scale));
  if (scale == 0.0) return {};
  DAMASK_RETURN_IF_ERROR(
      CheckInRange(keys.Key("rope.scaling.original_context_length"), rope.original_context, 1, limits::kMaxContext));
  config->position_scale = static_cast<float>(scale);
  config->position_scale_length = rope.original_context;
  return {};
}

Status ReadGranite(const KeyReader& keys, ModelConfig* config) {
  GraniteScales scales;
  const std::pair<const char*, double*> places[] = {{"attention.scale", &scales.attention},
                                                    {"embedding_scale", &scales.embedding},
                                                    {"residual_scale", &scales.residual},
                                                    {"logit_scale", &scales.logits}};
  for (const auto& [key, scale] : places) {
    DAMASK_ASSIGN_OR_RETURN(*scale, keys.FloatOr(key, 0.0));
    DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key(key), *scale));
  }
  SetGraniteScales(scales, config);
  return {};
}

// Layers that guess ahead count among the blocks.
Status ReadLayers(const KeyReader& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(config->layers, keys.Uint("block_count"));
  if (config->architecture != Architecture::kGlm4Moe) return {};
  DAMASK_ASSIGN_OR_RETURN(config->guessing_layers, keys.UintOr("nextn_predict_layers", 0));
  if (config->guessing_layers == 0) return {};
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("block_count"), config->layers, 1, limits::kMaxLayers));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("nextn_predict_layers"), config->guessing_layers, 0, config->layers - 1));
  config->layers -= config->guessing_layers;
  return {};
}

FieldNames NamesOf(const KeyReader& keys, const ModelConfig& config) {
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
Result<uint64_t> ReadHeadDim(const KeyReader& keys, const ModelConfig& config) {
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

// One window for all layers, where there is one.
Status ReadWindow(const KeyReader& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, keys.UintOr("attention.sliding_window", 0));
  if (window != 0 && window < config->context) config->windows.assign(config->layers, static_cast<uint32_t>(window));
  return {};
}

// What only one architecture has.
Status ReadOwnKeys(const KeyReader& keys, ModelConfig* config) {
  switch (config->architecture) {
    case Architecture::kGemma3: return ReadGemma3Keys(keys, config);
    case Architecture::kGptOss: return ReadGptOss(keys, config);
    case Architecture::kOlmo2: return ReadOlmo2(keys, config);
    case Architecture::kGranite: DAMASK_RETURN_IF_ERROR(ReadGranite(keys, config)); break;
    case Architecture::kMistral3: DAMASK_RETURN_IF_ERROR(ReadMistral3(keys, config)); break;
    default: break;
  }
  return ReadWindow(keys, config);
}

}  // namespace

Result<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  ModelConfig config;
  DAMASK_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(file));
  const KeyReader keys(file, std::string(ArchitectureName(config.architecture)));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.name"));
  config.name = SanitizeUtf8(name.value_or(""));
  DAMASK_RETURN_IF_ERROR(ReadLayers(keys, &config));
  DAMASK_ASSIGN_OR_RETURN(config.width, keys.Uint("embedding_length"));
  DAMASK_ASSIGN_OR_RETURN(config.ffn, keys.SameInAllLayers("feed_forward_length", 0));
  DAMASK_RETURN_IF_ERROR(ReadExperts(keys, &config));
  DAMASK_ASSIGN_OR_RETURN(config.heads, keys.SameInAllLayers("attention.head_count", 0));
  DAMASK_ASSIGN_OR_RETURN(config.kv_heads, keys.SameInAllLayers("attention.head_count_kv", config.heads));
  DAMASK_ASSIGN_OR_RETURN(config.head_dim, ReadHeadDim(keys, config));
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
