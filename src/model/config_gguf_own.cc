#include <cmath>

#include "base/limits.h"
#include "model/config_check.h"
#include "model/config_gemma.h"
#include "model/config_windows.h"
#include "model/gguf_keys.h"

namespace damask::model {
namespace {

// Every so manieth layer has no window, where a file does not say.
constexpr uint64_t kGptOssPattern = 2;
constexpr uint64_t kOlmo3Pattern = 4;

// `usual`: the pattern where a file does not say.
Result<WindowPattern> ReadWindowPattern(const GgufKeys& keys, uint64_t usual) {
  WindowPattern windows = {.window_name = keys.Key("attention.sliding_window"),
                           .pattern_name = keys.Key("attention.sliding_window_pattern")};
  DAMASK_ASSIGN_OR_RETURN(windows.window, keys.Uint("attention.sliding_window"));
  if (keys.file().IsArray(windows.pattern_name)) {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<bool>* const layers, keys.file().GetBoolArray(windows.pattern_name));
    windows.layers = *layers;
    return windows;
  }
  DAMASK_ASSIGN_OR_RETURN(windows.pattern, keys.UintOr("attention.sliding_window_pattern", usual));
  return windows;
}

// llama.cpp knows the model of 27 billion by its layers: no key holds the scale of its scores.
Status ReadGemma3Keys(const GgufKeys& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, keys.UintOr("attention.sliding_window", 0));
  if (window == 0) return Unsupported("gemma3 without sliding windows, whose logits are soft-capped, is not supported");
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
Status ReadGptOss(const GgufKeys& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const WindowPattern windows, ReadWindowPattern(keys, kGptOssPattern));
  config->gate = kernels::GateFunction::kClamped;
  return SetWindowPattern(windows, config);
}

// Windows in three layers of four, whose rotations nothing scales (OLMo 3); OLMo 2 has none.
Status ReadOlmo2(const GgufKeys& keys, ModelConfig* config) {
  // Its converter writes the whole of yarn's temperature where llama.cpp, as others, expects what comes on top.
  RopeConfig& rope = config->rope;
  if (rope.scaling == RopeScaling::kYarn && rope.attention_factor != 1.0) {
    rope.attention_factor /= YarnTemperature(rope.factor);
    constexpr double kRounding = 1e-3;  // what follows the factor stays so when a flag changes that
    if (std::abs(rope.attention_factor - 1.0) < kRounding) rope.attention_factor = 1.0;
  }
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, keys.UintOr("attention.sliding_window", 0));
  if (window == 0) return {};
  DAMASK_ASSIGN_OR_RETURN(const WindowPattern windows, ReadWindowPattern(keys, kOlmo3Pattern));
  DAMASK_RETURN_IF_ERROR(SetWindowPattern(windows, config));
  DAMASK_ASSIGN_OR_RETURN(config->window_rope_base, keys.FloatOr("rope.freq_base_swa", config->rope.base));
  return CheckRopeBase(keys.Key("rope.freq_base_swa"), config->window_rope_base);
}

// yarn's temperature with a factor before its logarithm, of which YaRN's own is taken back; and queries that grow with their
// position. Source: llama.cpp's src/models/mistral3.cpp.
Status ReadMistral3(const GgufKeys& keys, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  DAMASK_ASSIGN_OR_RETURN(const double log_factor, keys.FloatOr("rope.scaling.yarn_log_multiplier", 0.0));
  DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key("rope.scaling.yarn_log_multiplier"), log_factor));
  rope.log_multiplier = log_factor;
  DAMASK_ASSIGN_OR_RETURN(const double scale, keys.FloatOr("attention.temperature_scale", 0.0));
  DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key("attention.temperature_scale"), scale));
  if (scale == 0.0) return {};
  DAMASK_RETURN_IF_ERROR(
      CheckInRange(keys.Key("rope.scaling.original_context_length"), rope.original_context, 1, limits::kMaxContext));
  config->position_scale = static_cast<float>(scale);
  config->position_scale_length = rope.original_context;
  return {};
}

// That the rotation is not fine-tuned means that there is none. Source: llama.cpp's src/models/granite.cpp.
Status ReadGranite(const GgufKeys& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const bool rotates, keys.BoolOr("rope.scaling.finetuned", true));
  if (!rotates) config->unrotated_every = 1;
  const auto read = [&keys](const std::string& name) { return keys.file().GetFloat(name); };
  return ReadGraniteScales(
      {keys.Key("attention.scale"), keys.Key("embedding_scale"), keys.Key("residual_scale"), keys.Key("logit_scale")}, read,
      config);
}

// One window for all layers, where there is one.
Status ReadWindow(const GgufKeys& keys, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, keys.UintOr("attention.sliding_window", 0));
  if (window != 0 && window < config->context) config->windows.assign(config->layers, static_cast<uint32_t>(window));
  return {};
}

}  // namespace

// What only one architecture has.
Status ReadOwnKeys(const GgufKeys& keys, ModelConfig* config) {
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

}  // namespace damask::model
