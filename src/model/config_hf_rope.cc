#include "model/config_hf_rope.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/limits.h"

namespace damask::model {
namespace {

using formats::Json;
using formats::JsonNumber;
using formats::JsonString;
using formats::JsonUint;

// transformers puts attention_factor in the place of yarn's own temperature term; RopeConfig's multiplies that term.
Status ReadYarnTemperature(const Json& scaling, RopeConfig* rope) {
  for (const char* key : {"mscale", "mscale_all_dim"}) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> scale, JsonNumber(scaling, key));
    if (scale.value_or(0.0) != 0.0)
      return Unsupported(fmt::format("the yarn rope scaling has {} {}, which is not supported", key, *scale));
  }
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> given, JsonNumber(scaling, "attention_factor"));
  if (given) rope->attention_factor = *given / YarnTemperature(rope->factor);
  return {};
}

Status ReadFactors(const Json& scaling, const char* key, size_t count, std::vector<float>* out) {
  const auto found = scaling.find(key);
  if (found == scaling.end() || !found->is_array() || found->size() != count) {
    return BadFormat(fmt::format("the longrope rope scaling has no {} with {} numbers", key, count));
  }
  for (const Json& factor : *found) {
    const double value = factor.is_number() ? factor.get<double>() : 0.0;
    // A float that is 0 or infinite would break the angles.
    if (!(value >= std::numeric_limits<float>::min() && value <= std::numeric_limits<float>::max())) {
      return BadFormat(fmt::format("the longrope rope scaling has a {} that is no positive number of float32", key));
    }
    out->push_back(static_cast<float>(value));
  }
  return {};
}

// Ding et al., LongRoPE (arXiv 2402.13753), as Phi-3 has it: what is longer than trained is made up for by the root of
// 1 + ln(factor) / ln(trained length) in cos and sin, whichever factors hold.
Status ReadLongRope(const Json& json, const Json& scaling, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  DAMASK_ASSIGN_OR_RETURN(std::optional<uint64_t> original, JsonUint(json, "original_max_position_embeddings"));
  if (!original) {
    DAMASK_ASSIGN_OR_RETURN(original, JsonUint(scaling, "original_max_position_embeddings"));
  }
  if (!original || *original < 2) {
    return BadFormat("the longrope rope scaling has no original_max_position_embeddings of 2 or more");
  }
  rope.original_context = *original;
  DAMASK_RETURN_IF_ERROR(ReadFactors(scaling, "short_factor", rope.dims / 2, &rope.short_factors));
  DAMASK_RETURN_IF_ERROR(ReadFactors(scaling, "long_factor", rope.dims / 2, &rope.long_factors));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> given, JsonNumber(scaling, "attention_factor"));
  const double longer = static_cast<double>(config->context) / static_cast<double>(*original);
  const double made_up = longer <= 1 ? 1.0 : std::sqrt(1.0 + std::log(longer) / std::log(static_cast<double>(*original)));
  rope.attention_factor = given.value_or(made_up);
  return {};
}

// A yarn that does not say it reaches as far as the context.
Status ReadFactor(const Json& scaling, std::string_view type, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  DAMASK_ASSIGN_OR_RETURN(std::optional<double> factor, JsonNumber(scaling, "factor"));
  const bool follows = rope.scaling == RopeScaling::kYarn && rope.original_context != 0;
  if (!factor && follows && config->context > rope.original_context) {
    factor = static_cast<double>(config->context) / static_cast<double>(rope.original_context);
  }
  if (!factor) return BadFormat(fmt::format("the {} rope scaling has no factor", type));
  rope.factor = *factor;
  return {};
}

Status ReadScaling(const Json& json, const Json& scaling, ModelConfig* config) {
  RopeConfig* const rope = &config->rope;
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> type, JsonString(scaling, "rope_type"));
  if (!type) {
    DAMASK_ASSIGN_OR_RETURN(type, JsonString(scaling, "type"));
  }
  if (!type) return BadFormat("the rope scaling has no rope_type");
  if (*type == "default") return {};
  if (*type == "longrope" || *type == "su") return ReadLongRope(json, scaling, config);
  Result<RopeScaling> parsed = ParseRopeScaling(*type);
  if (!parsed.ok()) return parsed.status().At("rope_scaling");
  rope->scaling = *parsed;
  if (rope->scaling == RopeScaling::kNone) return {};
  const auto number = [&](const char* key, double* out) -> Status {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> value, JsonNumber(scaling, key));
    if (value) *out = *value;
    return {};
  };
  DAMASK_RETURN_IF_ERROR(number("low_freq_factor", &rope->low_freq_factor));
  DAMASK_RETURN_IF_ERROR(number("high_freq_factor", &rope->high_freq_factor));
  DAMASK_RETURN_IF_ERROR(number("beta_fast", &rope->beta_fast));
  DAMASK_RETURN_IF_ERROR(number("beta_slow", &rope->beta_slow));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> original, JsonUint(scaling, "original_max_position_embeddings"));
  if (original) rope->original_context = *original;
  DAMASK_RETURN_IF_ERROR(ReadFactor(scaling, *type, config));
  return rope->scaling == RopeScaling::kYarn ? ReadYarnTemperature(scaling, rope) : Status();
}

// Newer files keep base, scaling and the rotated part together in rope_parameters, older ones only the scaling in rope_scaling.
// Null where there is neither.
Result<const Json*> FindScaling(const Json& json) {
  const Json* found = nullptr;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto it = json.find(key);
    if (it == json.end() || it->is_null()) continue;
    if (!it->is_object()) return BadFormat(fmt::format("the field {} is not an object", key));
    const auto full = it->find("full_attention");  // where layers differ
    found = full != it->end() && full->is_object() ? &*full : &*it;
    break;
  }
  return found;
}

}  // namespace

Status ReadHuggingFaceRope(const Json& json, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  rope.kind = kernels::RopeKind::kHalves;
  rope.dims = config->head_dim;
  rope.original_context = config->context;
  DAMASK_ASSIGN_OR_RETURN(const Json* const scaling, FindScaling(json));
  // What it leaves out stands outside of it.
  const auto number = [&](const char* key) -> Result<std::optional<double>> {
    if (scaling == nullptr) return JsonNumber(json, key);
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> inside, JsonNumber(*scaling, key));
    if (inside) return inside;
    return JsonNumber(json, key);
  };
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> partial, number("partial_rotary_factor"));
  if (partial) {
    if (!(*partial > 0 && *partial <= 1)) {
      return BadFormat(fmt::format("partial_rotary_factor is {}, expected a number above 0, up to 1", *partial));
    }
    const size_t head_dim = std::min<size_t>(config->head_dim, limits::kMaxWidth);  // not checked yet
    rope.dims = static_cast<size_t>(static_cast<double>(head_dim) * *partial);
  }
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> base, number("rope_theta"));
  rope.base = base.value_or(10000.0);
  return scaling == nullptr ? Status() : ReadScaling(json, *scaling, config);
}

}  // namespace damask::model
