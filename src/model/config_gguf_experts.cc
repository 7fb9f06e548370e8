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
  if (config->traits().scales_shares) {
    DAMASK_ASSIGN_OR_RETURN(config->shares_sum_to_one, keys.BoolOr("expert_weights_norm", false));
    DAMASK_RETURN_IF_ERROR(CheckScale(keys.Key("expert_weights_scale"), scale));
    if (scale != 0.0) config->expert_scale = static_cast<float>(scale);
    return {};
  }
  if (scale == 0.0 || scale == 1.0) return {};
  return Unsupported(fmt::format("{} is {}, only 1 is supported", keys.Key("expert_weights_scale"), scale));
}

Status RefuseAbove(const GgufKeys& keys, const char* key, uint64_t most) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t count, keys.UintOr(key, most));
  if (count <= most) return {};
  return Unsupported(fmt::format("{} is {}, which is not supported", keys.Key(key), count));
}

// Layers without experts that come first, and the network that all tokens take.
// `lead`: the width of the former.
Status ReadDenseParts(const GgufKeys& keys, uint64_t lead, ModelConfig* config) {
  DAMASK_RETURN_IF_ERROR(RefuseAbove(keys, "interleave_moe_layer_step", 1));
  DAMASK_RETURN_IF_ERROR(RefuseAbove(keys, "expert_group_count", 1));
  if (!config->traits().has_dense_parts) {
    DAMASK_RETURN_IF_ERROR(RefuseAbove(keys, "leading_dense_block_count", 0));
    return RefuseAbove(keys, "expert_shared_count", 0);
  }
  DAMASK_ASSIGN_OR_RETURN(config->dense_layers, keys.UintOr("leading_dense_block_count", 0));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t shared, keys.UintOr("expert_shared_count", 0));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("leading_dense_block_count"), config->dense_layers, 0, config->layers - 1));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_shared_count"), shared, 0, limits::kMaxExperts));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_feed_forward_length"), config->ffn, 1, limits::kMaxWidth));
  DAMASK_ASSIGN_OR_RETURN(config->shared_ffn, keys.UintOr("expert_shared_feed_forward_length", shared * config->ffn));
  DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_shared_feed_forward_length"), config->shared_ffn, 0, limits::kMaxWidth));
  if (config->dense_layers == 0) return {};
  config->dense_ffn = lead;
  return CheckInRange(keys.Key("feed_forward_length"), lead, 1, limits::kMaxWidth);
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
  const uint64_t whole = config->ffn;
  if (always) {
    // Where it is missing llama.cpp shares the feed-forward length out.
    DAMASK_RETURN_IF_ERROR(CheckInRange(keys.Key("expert_used_count"), config->experts_used, 1, config->experts));
    DAMASK_ASSIGN_OR_RETURN(config->ffn, keys.UintOr("expert_feed_forward_length", whole / config->experts_used));
  }
  return ReadDenseParts(keys, whole, config);
}

}  // namespace damask::model
