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

bool AlwaysHasExperts(Architecture architecture) {
  return architecture == Architecture::kQwen3Moe || architecture == Architecture::kGptOss;
}

Result<Architecture> ReadArchitecture(const GgufFile& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.architecture"));
  if (!name) return BadFormat("the key general.architecture is missing");
  for (const Architecture a : kArchitectures) {
    if (ArchitectureName(a) == *name) return a;
  }
  return Unsupported(fmt::format("the architecture {} is not supported; damask runs {}", Quote(*name), ArchitectureNames()));
}

// Of gpt-oss every so manieth layer has no window, where a file does not say.
constexpr uint64_t kGptOssPattern = 2;

// llama.cpp's numbers for shares that a softmax over all experts gives, or one over those that were chosen: the same where
// shares are made to sum to 1.
constexpr uint64_t kSoftmaxGating = 1;
constexpr uint64_t kChosenSoftmaxGating = 3;

// Mixtral calls itself llama; Qwen 3 has a name for its mixtures, gpt-oss is always one.
Status ReadExperts(const KeyReader& keys, ModelConfig* config) {
  const bool always = AlwaysHasExperts(config->architecture);
  DAMASK_ASSIGN_OR_RETURN(config->experts, always ? keys.Uint("expert_count") : keys.UintOr("expert_count", 0));
  if (config->experts == 0 && !always) return {};
  if (!always && config->architecture != Architecture::kLlama) {
    return Unsupported(fmt::format("{} is {}: experts are supported for llama, qwen3moe and gpt-oss only",
                                   keys.Key("expert_count"), config->experts));
  }
  for (const char* key : {"expert_shared_count", "leading_dense_block_count"}) {
    DAMASK_ASSIGN_OR_RETURN(const uint64_t count, keys.UintOr(key, 0));
    if (count != 0) return Unsupported(fmt::format("{} is {}, which is not supported", keys.Key(key), count));
  }
  const uint64_t usual = config->architecture == Architecture::kGptOss ? kChosenSoftmaxGating : kSoftmaxGating;
  DAMASK_ASSIGN_OR_RETURN(const uint64_t gating, keys.UintOr("expert_gating_func", usual));
  if (gating != usual) {
    return Unsupported(fmt::format("{} is {}, only {} (softmax) is supported", keys.Key("expert_gating_func"), gating, usual));
  }
  DAMASK_ASSIGN_OR_RETURN(const double scale, keys.FloatOr("expert_weights_scale", 1.0));
  if (scale != 0.0 && scale != 1.0) {
    return Unsupported(fmt::format("{} is {}, only 1 is supported", keys.Key("expert_weights_scale"), scale));
  }
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_count"), config->experts, 1, limits::kMaxExperts));
  DAMASK_ASSIGN_OR_RETURN(config->experts_used, keys.Uint("expert_used_count"));
  if (!always) return {};
  // Where it is missing llama.cpp shares the feed-forward length out.
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_used_count"), config->experts_used, 1, config->experts));
  DAMASK_ASSIGN_OR_RETURN(config->ffn, keys.UintOr("expert_feed_forward_length", config->ffn / config->experts_used));
  return {};
}

Status ReadRope(const KeyReader& keys, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  const bool llama_like = config->architecture == Architecture::kLlama || config->architecture == Architecture::kMistral ||
                          config->architecture == Architecture::kSmolLm3 || config->architecture == Architecture::kGranite;
  rope.kind = llama_like ? kernels::RopeKind::kAdjacent : kernels::RopeKind::kHalves;
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

FieldNames NamesOf(const KeyReader& keys, const ModelConfig& config) {
  return {.layers = keys.Key("block_count"),
          .width = keys.Key("embedding_length"),
          .heads = keys.Key("attention.head_count"),
          .kv_heads = keys.Key("attention.head_count_kv"),
          .head_dim = keys.Key("attention.key_length"),
          .ffn = keys.Key(AlwaysHasExperts(config.architecture) ? "expert_feed_forward_length" : "feed_forward_length"),
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

}  // namespace

Result<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  ModelConfig config;
  DAMASK_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(file));
  const KeyReader keys(file, std::string(ArchitectureName(config.architecture)));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string_view> name, file.GetString("general.name"));
  config.name = SanitizeUtf8(name.value_or(""));
  DAMASK_ASSIGN_OR_RETURN(config.layers, keys.Uint("block_count"));
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
  if (config.architecture == Architecture::kGranite) DAMASK_RETURN_IF_ERROR(ReadGranite(keys, &config));
  if (config.architecture == Architecture::kGemma3) {
    DAMASK_RETURN_IF_ERROR(ReadGemma3Keys(keys, &config));
    return config;
  }
  if (config.architecture == Architecture::kGptOss) {
    DAMASK_RETURN_IF_ERROR(ReadGptOss(keys, &config));
    return config;
  }
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, keys.UintOr("attention.sliding_window", 0));
  if (window != 0 && window < config.context) {
    config.windows.assign(config.layers, static_cast<uint32_t>(window));
  }
  return config;
}

}  // namespace damask::model
