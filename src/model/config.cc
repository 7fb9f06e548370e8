#include "model/config.h"

#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "base/text.h"

namespace damask::model {

std::string_view RopeScalingName(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::kNone: return "none";
    case RopeScaling::kLinear: return "linear";
    case RopeScaling::kLlama3: return "llama3";
    case RopeScaling::kYarn: return "yarn";
  }
  return "unknown";
}

Result<RopeScaling> ParseRopeScaling(std::string_view name) {
  for (const RopeScaling scaling : {RopeScaling::kNone, RopeScaling::kLinear, RopeScaling::kLlama3, RopeScaling::kYarn}) {
    if (RopeScalingName(scaling) == name) return scaling;
  }
  return Unsupported(fmt::format("unknown rope scaling {}, expected none, linear, llama3 or yarn", Quote(name)));
}

std::string RopeConfig::ToString() const {
  std::string text =
      fmt::format("{} {} {} {} {} {} {} {} {} {} {}", static_cast<int>(kind), dims, base, static_cast<int>(scaling), factor,
                  original_context, low_freq_factor, high_freq_factor, beta_fast, beta_slow, attention_factor);
  if (log_multiplier != 0.0) text += fmt::format(" log {}", log_multiplier);
  if (!factors().empty()) text += fmt::format(" {}", fmt::join(factors(), " "));
  if (!file_factors.empty()) text += fmt::format(" file {}", fmt::join(file_factors, " "));
  return text;
}

// What only some models have is named only where a model has it, so that files of the time before it was known stay of use.
std::string SettingsText(const ModelConfig& config) {
  std::string text = config.rope.ToString();
  if (config.window_rope_base != 0.0) text += fmt::format(" windows {}", config.window_rope_base);
  text += fmt::format(" {} {}", config.rms_epsilon, fmt::join(config.windows, " "));
  if (config.experts != 0) text += fmt::format(" experts {} {}", config.experts_used, config.shares_sum_to_one);
  if (config.gating == Gating::kSigmoid) text += " sigmoid";
  if (config.expert_scale != 1.0f) text += fmt::format(" expert {}", config.expert_scale);
  if (config.dense_layers != 0) text += fmt::format(" dense {}", config.dense_layers);
  if (config.position_scale != 0.0f)
    text += fmt::format(" by position {} {}", config.position_scale, config.position_scale_length);
  if (config.query_scale != 1.0f) text += fmt::format(" query {}", config.query_scale);
  if (config.embedding_scale != 1.0f) text += fmt::format(" embedding {}", config.embedding_scale);
  if (config.residual_scale != 1.0f) text += fmt::format(" residual {}", config.residual_scale);
  if (config.logit_scale != 1.0f) text += fmt::format(" logits {}", config.logit_scale);
  if (config.unrotated_every != 0) text += fmt::format(" unrotated {}", config.unrotated_every);
  return text;
}

float ModelConfig::query_scale_at(uint64_t position) const {
  if (position_scale == 0.0f) return query_scale;
  const uint64_t lengths = position / position_scale_length;
  return query_scale * (1.0f + position_scale * std::log1p(static_cast<float>(lengths)));
}

double YarnTemperature(double factor) { return factor > 1.0 ? 1.0 + 0.1 * std::log(factor) : 1.0; }

namespace {

// A positive, finite factor within bounds that no real model leaves.
Status CheckPositive(std::string_view what, double value, double limit) {
  if (std::isfinite(value) && value > 0 && value <= limit) return {};
  return InvalidArgument(fmt::format("{} is {}, expected a positive number up to {:g}", what, value, limit));
}

// A factor that is missing follows from how far past the trained length the caller wants to read.
void FillMissingFactor(uint64_t wanted_context, RopeConfig* rope) {
  if (rope->factor > 1.0 || wanted_context <= rope->original_context) return;
  rope->factor = static_cast<double>(wanted_context) / static_cast<double>(rope->original_context);
}

// Phi-3's factors go by it without a scaling.
Status CheckOriginalContext(const RopeOverrides& overrides, const ModelConfig& config) {
  if (overrides.original_context == 0 || config.rope.scaling != RopeScaling::kNone) return {};
  if (config.architecture == Architecture::kPhi3) return {};
  return InvalidArgument("--yarn-orig-ctx does nothing without a scaling of positions: give --rope-scaling, too");
}

}  // namespace

// llama.cpp's rule, so that the same flags give the same rotations. Phi-3's own code goes by the length of the text at hand,
// which would turn all keys in the cache wrong the moment it grows past the trained one.
void ChooseLongRope(uint64_t wanted_context, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  rope.takes_long = (wanted_context != 0 ? wanted_context : config->context) > rope.original_context;
}

Status ApplyRopeOverrides(const RopeOverrides& overrides, uint64_t wanted_context, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  if (overrides.base != 0.0) {
    if (!(overrides.base >= 1.0 && overrides.base <= 1e12)) {
      return InvalidArgument(fmt::format("--rope-freq-base is {}, expected a number from 1 to 1e+12", overrides.base));
    }
    rope.base = overrides.base;
  }
  if (overrides.original_context > limits::kMaxContext) {
    return InvalidArgument(
        fmt::format("--yarn-orig-ctx is {}, at most {} is possible", overrides.original_context, limits::kMaxContext));
  }
  if (overrides.original_context != 0) rope.original_context = overrides.original_context;
  if (overrides.scaling.empty()) {
    if (overrides.factor == 0.0) return CheckOriginalContext(overrides, *config);
    // A factor alone means linear, as in llama.cpp, unless the file already names a scaling.
    if (rope.scaling == RopeScaling::kNone) rope.scaling = RopeScaling::kLinear;
  } else {
    Result<RopeScaling> scaling = ParseRopeScaling(overrides.scaling);
    if (!scaling.ok()) return InvalidArgument(scaling.status().message()).At("--rope-scaling");
    if (*scaling != rope.scaling) rope.factor = rope.attention_factor = 1.0;  // both belong to the file's own scaling
    rope.scaling = *scaling;
  }
  if (rope.scaling == RopeScaling::kNone) {
    if (overrides.factor != 0.0) return InvalidArgument("--rope-scale does nothing with --rope-scaling none: give one of them");
    DAMASK_RETURN_IF_ERROR(CheckOriginalContext(overrides, *config));
    rope.factor = 1.0;
    return {};
  }
  if (rope.original_context == 0) rope.original_context = config->context;
  if (overrides.factor != 0.0) {
    DAMASK_RETURN_IF_ERROR(CheckPositive("--rope-scale", overrides.factor, 1e6));
    rope.factor = overrides.factor;
  } else {
    FillMissingFactor(wanted_context != 0 ? wanted_context : config->context, &rope);
  }
  const double reach = static_cast<double>(rope.original_context) * rope.factor;
  config->context =
      std::max<uint64_t>(config->context, static_cast<uint64_t>(std::min(reach, static_cast<double>(limits::kMaxContext))));
  return {};
}

}  // namespace damask::model
