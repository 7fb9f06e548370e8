#include "model/config_gemma.h"

#include <cmath>

#include <fmt/format.h>

#include "model/config_check.h"

namespace damask::model {
namespace {

using formats::Json;
using formats::JsonNumber;
using formats::JsonUint;

// transformers' defaults.
constexpr uint64_t kWindow = 4096;
constexpr double kScalar = 256.0;

Status ReadWindowBase(const Json& json, ModelConfig* config) {
  DAMASK_ASSIGN_OR_RETURN(std::optional<double> base, JsonNumber(json, "rope_local_base_freq"));
  if (const auto rope = json.find("rope_parameters"); rope != json.end() && rope->is_object()) {
    if (const auto local = rope->find("sliding_attention"); local != rope->end() && local->is_object()) {
      DAMASK_ASSIGN_OR_RETURN(base, JsonNumber(*local, "rope_theta"));
    }
  }
  if (!base) return {};
  DAMASK_RETURN_IF_ERROR(CheckRopeBase("rope_local_base_freq", *base));
  config->window_rope_base = *base;
  return {};
}

Status RefuseWhatDiffers(const Json& json) {
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> cap, JsonNumber(json, key));
    if (cap.value_or(0.0) != 0.0) return Unsupported(fmt::format("{} is {}, which is not supported", key, *cap));
  }
  return {};
}

}  // namespace

Status SetGemma3(const WindowPattern& windows, ModelConfig* config) {
  DAMASK_RETURN_IF_ERROR(SetWindowPattern(windows, config));
  config->gate = kernels::GateFunction::kGelu;
  config->embedding_scale = std::sqrt(static_cast<float>(config->width));
  config->window_rope_base = 10000.0;
  return {};
}

Result<Json> Gemma3TextConfig(const Json& json) {
  const auto member = json.find("text_config");
  if (member != json.end() && !member->is_object()) return BadFormat("the field text_config is not an object");
  Json text = member == json.end() ? json : *member;
  const Json defaults = {{"vocab_size", 262208},
                         {"hidden_size", 2304},
                         {"intermediate_size", 9216},
                         {"num_hidden_layers", 26},
                         {"num_attention_heads", 8},
                         {"num_key_value_heads", 4},
                         {"head_dim", 256},
                         {"max_position_embeddings", 131072},
                         {"rms_norm_eps", 1e-6},
                         {"rope_theta", 1e6},
                         {"tie_word_embeddings", true}};
  for (const auto& [key, value] : defaults.items()) {
    if (const auto found = text.find(key); found == text.end() || found->is_null()) text[key] = value;
  }
  return text;
}

Status ReadGemma3(const Json& json, ModelConfig* config) {
  DAMASK_RETURN_IF_ERROR(RefuseWhatDiffers(json));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> window, JsonUint(json, "sliding_window"));
  DAMASK_ASSIGN_OR_RETURN(std::optional<uint64_t> pattern, JsonUint(json, "_sliding_window_pattern"));
  if (!pattern) {
    DAMASK_ASSIGN_OR_RETURN(pattern, JsonUint(json, "sliding_window_pattern"));
  }
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::vector<bool>> layers, ReadLayerTypes(json, config->layers));
  DAMASK_RETURN_IF_ERROR(SetGemma3({.window = window.value_or(kWindow),
                                    .pattern = pattern.value_or(kGemma3Pattern),
                                    .layers = layers,
                                    .window_name = "sliding_window",
                                    .pattern_name = "sliding_window_pattern"},
                                   config));
  DAMASK_RETURN_IF_ERROR(ReadWindowBase(json, config));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> scalar, JsonNumber(json, "query_pre_attn_scalar"));
  DAMASK_RETURN_IF_ERROR(CheckFactor("query_pre_attn_scalar", scalar.value_or(kScalar)));
  config->query_scale = static_cast<float>(std::sqrt(static_cast<double>(config->head_dim) / scalar.value_or(kScalar)));
  config->norms_less_one = true;
  return {};
}

}  // namespace damask::model
