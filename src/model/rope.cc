#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace damask::model {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

// Llama 3.1: wavelengths longer than original / low are stretched by the factor, shorter than original / high stay.
double ScaleLlama3(const RopeConfig& config, double frequency) {
  const double wavelength = kTwoPi / frequency;
  const double original = static_cast<double>(config.original_context);
  if (wavelength < original / config.high_freq_factor) return frequency;
  if (wavelength > original / config.low_freq_factor) return frequency / config.factor;
  const double smooth = (original / wavelength - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
  return (1.0 - smooth) * frequency / config.factor + smooth * frequency;
}

// The dimension (pair index) that turns `turns` times within the trained length: YaRN's equation 18.
double YarnDimension(const RopeConfig& config, double turns) {
  const double dims = static_cast<double>(config.dims);
  return dims * std::log(static_cast<double>(config.original_context) / (turns * kTwoPi)) / (2.0 * std::log(config.base));
}

// 1 below `low` (extrapolate: keep the frequency), 0 above `high` (interpolate).
double YarnKeep(double low, double high, double pair) {
  const double y = (pair - low) / std::max(0.001, high - low);
  return 1.0 - std::clamp(y, 0.0, 1.0);
}

double ScaleYarn(const RopeConfig& config, double frequency, size_t pair) {
  const double last = static_cast<double>(config.dims) - 1.0;
  const double low = std::max(0.0, std::floor(YarnDimension(config, config.beta_fast)));
  const double high = std::min(last, std::ceil(YarnDimension(config, config.beta_slow)));
  const double keep = YarnKeep(low, high, static_cast<double>(pair));
  return frequency / config.factor * (1.0 - keep) + frequency * keep;
}

double Scale(const RopeConfig& config, double frequency, size_t pair) {
  switch (config.scaling) {
    case RopeScaling::kNone: return frequency;
    case RopeScaling::kLinear: return frequency / config.factor;
    case RopeScaling::kLlama3: return ScaleLlama3(config, frequency);
    case RopeScaling::kYarn: return ScaleYarn(config, frequency, pair);
  }
  return frequency;
}

}  // namespace

RopeTable::RopeTable(const RopeConfig& config, std::span<const float> factors) : frequencies_(config.dims / 2) {
  for (size_t pair = 0; pair < frequencies_.size(); ++pair) {
    double frequency = std::pow(config.base, -2.0 * static_cast<double>(pair) / static_cast<double>(config.dims));
    if (!factors.empty()) frequency /= static_cast<double>(factors[pair]);
    frequencies_[pair] = Scale(config, frequency, pair);
  }
  magnitude_ = config.attention_factor;
  if (config.scaling == RopeScaling::kYarn) {
    const double term = YarnTemperature(config.factor);
    magnitude_ *= term / (1.0 + config.log_multiplier * (term - 1.0));
  }
}

void RopeTable::Fill(uint64_t position, float* cos_sin) const {
  for (size_t pair = 0; pair < frequencies_.size(); ++pair) {
    const double angle = static_cast<double>(position) * frequencies_[pair];
    cos_sin[2 * pair] = static_cast<float>(std::cos(angle) * magnitude_);
    cos_sin[2 * pair + 1] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

}  // namespace damask::model
