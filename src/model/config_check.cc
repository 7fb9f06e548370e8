#include "model/config_check.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "kernels/plan.h"

namespace damask::model {

Status CheckInRange(const std::string& name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return {};
  return BadFormat(fmt::format("{} is {}, expected {} to {}", name, value, low, high));
}

namespace {

Status CheckHeads(const ModelConfig& c, const FieldNames& n) {
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.heads, c.heads, 1, limits::kMaxHeads));
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.kv_heads, c.kv_heads, 1, limits::kMaxHeads));
  if (c.heads % c.kv_heads != 0) {
    return BadFormat(fmt::format("{} is {}, which is no multiple of {} = {}", n.heads, c.heads, n.kv_heads, c.kv_heads));
  }
  if (c.group() > kernels::kMaxGroup) {
    return Unsupported(fmt::format("{} query heads share one KV head, at most {} can", c.group(), kernels::kMaxGroup));
  }
  if (c.head_dim == 0 || c.head_dim % 16 != 0 || c.head_dim > 256) {
    return Unsupported(fmt::format("{} is {}, expected a multiple of 16 up to 256", n.head_dim, c.head_dim));
  }
  return {};
}

Status CheckRope(const ModelConfig& c, const FieldNames& n) {
  const RopeConfig& rope = c.rope;
  if (rope.dims == 0 || rope.dims % 2 != 0 || rope.dims > c.head_dim) {
    return BadFormat(
        fmt::format("{} is {}, expected an even number up to the head size {}", n.rope_dims, rope.dims, c.head_dim));
  }
  DAMASK_RETURN_IF_ERROR(CheckRopeBase(n.rope_base, rope.base));
  DAMASK_RETURN_IF_ERROR(CheckFactor(n.rope_factor, rope.factor));
  const std::pair<const char*, double> numbers[] = {{"low_freq_factor", rope.low_freq_factor},
                                                    {"high_freq_factor", rope.high_freq_factor},
                                                    {"beta_fast", rope.beta_fast},
                                                    {"beta_slow", rope.beta_slow},
                                                    {"attention factor", rope.attention_factor}};
  for (const auto& [name, value] : numbers) {
    DAMASK_RETURN_IF_ERROR(CheckFactor(fmt::format("the {} of the rope scaling", name), value));
  }
  const bool needs_length = rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn;
  if (needs_length && rope.original_context == 0) {
    return BadFormat(fmt::format("the {} rope scaling does not say the trained length", RopeScalingName(rope.scaling)));
  }
  if (rope.scaling == RopeScaling::kLlama3 && !(rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor)) {
    return BadFormat(
        fmt::format("the llama3 rope scaling has low_freq_factor {} and high_freq_factor {}, expected 0 < low < high",
                    rope.low_freq_factor, rope.high_freq_factor));
  }
  return {};
}

}  // namespace

Status CheckConfig(const ModelConfig& c, const FieldNames& n) {
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.layers, c.layers, 1, limits::kMaxLayers));
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.width, c.width, 1, limits::kMaxWidth));
  DAMASK_RETURN_IF_ERROR(CheckHeads(c, n));
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.ffn, c.ffn, 1, limits::kMaxWidth));
  if (c.experts != 0) {
    DAMASK_RETURN_IF_ERROR(CheckInRange(n.experts, c.experts, 1, limits::kMaxExperts));
    DAMASK_RETURN_IF_ERROR(CheckInRange(n.experts_used, c.experts_used, 1, c.experts));
  }
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.vocab, c.vocab, 1, limits::kMaxVocab));
  DAMASK_RETURN_IF_ERROR(CheckInRange(n.context, c.context, 1, limits::kMaxContext));
  if (!(c.rms_epsilon >= 0.0f && c.rms_epsilon <= 1.0f)) {
    return BadFormat(fmt::format("{} is {}, expected 0 to 1", n.rms_epsilon, c.rms_epsilon));
  }
  return CheckRope(c, n);
}

Status CheckRopeBase(const std::string& name, double base) {
  if (base >= 1.0 && base <= 1e12) return {};
  return BadFormat(fmt::format("{} is {}, expected 1 to 1e12", name, base));
}

Status CheckFactor(const std::string& name, double factor) {
  if (factor >= 1e-6 && factor <= 1e6) return {};
  return BadFormat(fmt::format("{} is {}, expected 1e-6 to 1e6", name, factor));
}

Status CheckScale(const std::string& name, double scale) { return scale == 0.0 ? Status() : CheckFactor(name, scale); }

Status ReadGraniteScales(const GraniteNames& names, FunctionRef<Result<std::optional<double>>(const std::string&)> read,
                         ModelConfig* config) {
  // 0 where a file does not say.
  const auto scale = [&](const std::string& name) -> Result<double> {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> value, read(name));
    DAMASK_RETURN_IF_ERROR(CheckScale(name, value.value_or(0.0)));
    return value.value_or(0.0);
  };
  const auto set = [](double value, float* out) {
    if (value != 0) *out = static_cast<float>(value);
  };
  DAMASK_ASSIGN_OR_RETURN(const double attention, scale(names.attention));
  DAMASK_ASSIGN_OR_RETURN(const double embedding, scale(names.embedding));
  DAMASK_ASSIGN_OR_RETURN(const double residual, scale(names.residual));
  DAMASK_ASSIGN_OR_RETURN(const double logits, scale(names.logits));
  set(attention * std::sqrt(static_cast<double>(config->head_dim)), &config->query_scale);
  set(embedding, &config->embedding_scale);
  set(residual, &config->residual_scale);
  set(logits == 0 ? 0 : 1.0 / logits, &config->logit_scale);
  return {};
}

}  // namespace damask::model
