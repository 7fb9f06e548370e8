#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace damask::engine {

Status ValidateSamplerOptions(const SamplerOptions& o) {
  const auto bad = [](const char* name, float value, const char* expected) {
    return InvalidArgument(fmt::format("{} is {}, expected {}", name, value, expected));
  };
  if (!(o.temperature >= 0.0f && o.temperature <= 100.0f)) return bad("temperature", o.temperature, "0 to 100");
  if (!(o.top_p > 0.0f && o.top_p <= 1.0f)) return bad("top-p", o.top_p, "above 0, at most 1");
  if (!(o.min_p >= 0.0f && o.min_p <= 1.0f)) return bad("min-p", o.min_p, "0 to 1");
  if (!(o.repeat_penalty > 0.0f && o.repeat_penalty <= 100.0f))
    return bad("repeat-penalty", o.repeat_penalty, "above 0, at most 100");
  if (!(std::abs(o.presence_penalty) <= 2.0f)) return bad("presence-penalty", o.presence_penalty, "-2 to 2");
  if (!(std::abs(o.frequency_penalty) <= 2.0f)) return bad("frequency-penalty", o.frequency_penalty, "-2 to 2");
  return {};
}

TokenId Argmax(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Sampler::Sampler(const SamplerOptions& options)
    : options_(options), seed_(options.seed ? *options.seed : std::random_device{}()) {
  random_.seed(seed_);
}

// 53 random bits: std::uniform_real_distribution may differ between standard libraries.
double Sampler::NextUniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

namespace {

// A positive logit shrinks, a negative one grows: Keskar et al., CTRL (arXiv 1909.05858).
void PenaliseRepeats(std::span<const TokenId> history, const SamplerOptions& options, std::vector<float>* logits) {
  if (options.repeat_penalty == 1.0f) return;
  const size_t count = std::min<size_t>(history.size(), options.repeat_last_n);
  std::vector<TokenId> seen(history.end() - static_cast<std::ptrdiff_t>(count), history.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const TokenId id : seen) {
    float& logit = (*logits)[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / options.repeat_penalty : logit * options.repeat_penalty;
  }
}

// How many of the leading `probabilities` (descending, sum 1) it takes to reach top_p.
size_t TopPCount(const std::vector<double>& probabilities, float top_p) {
  double sum = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    sum += probabilities[i];
    if (sum >= static_cast<double>(top_p)) return i + 1;
  }
  return probabilities.size();
}

// Softmax of the logits named by `order` (best first) at a temperature.
std::vector<double> Softmax(const std::vector<float>& logits, const std::vector<TokenId>& order, double temperature) {
  std::vector<double> p(order.size());
  const double best = logits[static_cast<size_t>(order[0])];
  for (size_t i = 0; i < order.size(); ++i) p[i] = std::exp((logits[static_cast<size_t>(order[i])] - best) / temperature);
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace

// Counted anew at each draw: a pass over the answer so far costs less than the ranking of the vocabulary.
void Sampler::PenaliseDrawn(std::span<const TokenId> drawn) {
  if (options_.presence_penalty == 0.0f && options_.frequency_penalty == 0.0f) return;
  counts_.resize(adjusted_.size());
  for (const TokenId id : drawn) ++counts_[static_cast<size_t>(id)];
  for (const TokenId id : drawn) {
    uint32_t& count = counts_[static_cast<size_t>(id)];
    if (count == 0) continue;  // a repeat: done already
    adjusted_[static_cast<size_t>(id)] -= options_.presence_penalty + static_cast<float>(count) * options_.frequency_penalty;
    count = 0;
  }
}

TokenId Sampler::Sample(std::span<const float> logits, std::span<const TokenId> history, std::span<const TokenId> drawn) {
  adjusted_.assign(logits.begin(), logits.end());
  PenaliseRepeats(history, options_, &adjusted_);
  PenaliseDrawn(drawn);
  if (options_.temperature == 0.0f || options_.top_k == 1) return Argmax(adjusted_);

  order_.resize(adjusted_.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto better = [this](TokenId a, TokenId b) {
    const float la = adjusted_[static_cast<size_t>(a)];
    const float lb = adjusted_[static_cast<size_t>(b)];
    return la != lb ? la > lb : a < b;
  };
  const size_t keep = options_.top_k == 0 ? order_.size() : std::min<size_t>(options_.top_k, order_.size());
  std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(keep), order_.end(), better);
  order_.resize(keep);

  // As in llama.cpp's default chain, top-p and min-p look at the distribution before the temperature.
  if (options_.top_p < 1.0f) order_.resize(TopPCount(Softmax(adjusted_, order_, 1.0), options_.top_p));
  if (options_.min_p > 0.0f) {
    const float floor = adjusted_[static_cast<size_t>(order_[0])] + std::log(options_.min_p);
    const auto end =
        std::find_if(order_.begin() + 1, order_.end(), [&](TokenId id) { return adjusted_[static_cast<size_t>(id)] < floor; });
    order_.erase(end, order_.end());
  }
  const std::vector<double> p = Softmax(adjusted_, order_, static_cast<double>(options_.temperature));
  double rest = NextUniform();
  for (size_t i = 0; i < p.size(); ++i) {
    rest -= p[i];
    if (rest < 0) return order_[i];
  }
  return order_.back();
}

}  // namespace damask::engine
