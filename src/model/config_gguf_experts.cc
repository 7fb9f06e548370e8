#include "base/limits.h"
#include "model/config_check.h"
#include "model/gguf_keys.h"

namespace damask::model {
namespace {

Status ReadGating(const GgufKeys& keys, ModelConfig* config) {
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
Status ReadDenseParts(const GgufKeys& keys, ModelConfig* config) {
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

}  // namespace

// Mixtral calls itself llama; others have a name for their mixtures.
Status ReadExperts(const GgufKeys& keys, ModelConfig* config) {
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

}  // namespace damask::model
