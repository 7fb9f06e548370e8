#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/entropy.h"

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

Sampler::Sampler(const SamplerOptions& options)
    : options_(options), seed_(options.seed ? *options.seed : static_cast<uint32_t>(RandomSeed())) {
  random_.seed(seed_);
}

// 53 random bits: std::uniform_real_distribution may differ between standard libraries.
double Sampler::NextUniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

namespace {

// Candidates that are put in order as a whole: looking for the place where they need not be would cost more.
constexpr size_t kSortedAtOnce = 256;

// The softmax of candidates at a temperature, walked from the likeliest one down.
class Walk {
 public:
  Walk(std::span<RankedToken> candidates, float best, float temperature)
      : candidates_(candidates), best_(static_cast<double>(best)), temperature_(static_cast<double>(temperature)) {}

  // How many it takes until their shares reach `wanted`; all, where they do not. So many are then in front, the last of them in
  // its place.
  size_t Reach(double wanted) {
    const bool few = candidates_.size() <= kSortedAtOnce;
    const Stretch stretch = few ? Stretch{.end = candidates_.size()} : FindStretch(wanted);
    const std::span<RankedToken> ordered = candidates_.subspan(stretch.begin, stretch.end - stretch.begin);
    std::sort(ordered.begin(), ordered.end(), Likelier);
    for (size_t i = 0; few && i < ordered.size(); ++i) sum_ += Weight(ordered[i]);
    double reached = stretch.above / sum_;
    for (size_t i = 0; i < ordered.size(); ++i) {
      reached += Weight(ordered[i]) / sum_;
      if (reached >= wanted) return stretch.begin + i + 1;
    }
    return stretch.end;
  }

 private:
  static constexpr size_t kStretches = 1024;
  static constexpr double kWidest = 64;  // times the temperature: what is further down weighs nothing
  // Candidates [begin, end) of like logits; those before them are likelier, and of this weight.
  struct Stretch {
    size_t begin = 0;
    size_t end = 0;
    double above = 0;
  };

  double Weight(const RankedToken& token) const { return std::exp((static_cast<double>(token.logit) - best_) / temperature_); }
  size_t Place(const RankedToken& token) const {
    const double place = (best_ - static_cast<double>(token.logit)) * stretches_per_logit_;
    return place < kStretches - 1 ? static_cast<size_t>(place) : kStretches - 1;
  }

  // Only the stretch in which the shares reach `wanted` needs an order: a flat distribution of a whole vocabulary is never
  // sorted.
  Stretch FindStretch(double wanted) {
    const auto least = std::max_element(candidates_.begin(), candidates_.end(), Likelier);
    stretches_per_logit_ = kStretches / std::min(best_ - static_cast<double>(least->logit), kWidest * temperature_);
    std::array<double, kStretches> weights = {};
    for (const RankedToken& token : candidates_) weights[Place(token)] += Weight(token);
    sum_ = std::accumulate(weights.begin(), weights.end(), 0.0);
    size_t there = 0;
    double above = 0;
    while (there + 1 < kStretches && (above + weights[there]) / sum_ < wanted) above += weights[there++];
    const auto begin = std::partition(candidates_.begin(), candidates_.end(), [&](const auto& t) { return Place(t) < there; });
    const auto end = std::partition(begin, candidates_.end(), [&](const auto& t) { return Place(t) == there; });
    return {static_cast<size_t>(begin - candidates_.begin()), static_cast<size_t>(end - candidates_.begin()), above};
  }

  std::span<RankedToken> candidates_;
  double best_;
  double temperature_;
  double sum_ = 0;  // of all weights
  double stretches_per_logit_ = 0;
};

}  // namespace

// A positive logit shrinks, a negative one grows: Keskar et al., CTRL (arXiv 1909.05858).
void Sampler::PenaliseRepeats(std::span<const TokenId> history) {
  if (options_.repeat_penalty == 1.0f) return;
  const std::span<const TokenId> last = history.last(std::min<size_t>(history.size(), options_.repeat_last_n));
  for (const TokenId id : last) {
    if (counts_[static_cast<size_t>(id)]++ > 0) continue;  // a repeat: done already
    float& logit = adjusted_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
  }
  for (const TokenId id : last) counts_[static_cast<size_t>(id)] = 0;
}

// Counted anew at each draw: a pass over the answer so far costs less than one over the vocabulary.
void Sampler::PenaliseDrawn(std::span<const TokenId> drawn) {
  if (options_.presence_penalty == 0.0f && options_.frequency_penalty == 0.0f) return;
  for (const TokenId id : drawn) ++counts_[static_cast<size_t>(id)];
  for (const TokenId id : drawn) {
    uint32_t& count = counts_[static_cast<size_t>(id)];
    if (count == 0) continue;  // a repeat: done already
    adjusted_[static_cast<size_t>(id)] -= options_.presence_penalty + static_cast<float>(count) * options_.frequency_penalty;
    count = 0;
  }
}

std::span<const float> Sampler::Penalised(std::span<const float> logits, std::span<const TokenId> history,
                                          std::span<const TokenId> drawn) {
  const bool none = options_.repeat_penalty == 1.0f && options_.presence_penalty == 0.0f && options_.frequency_penalty == 0.0f;
  if (none) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  counts_.resize(logits.size());
  PenaliseRepeats(history);
  PenaliseDrawn(drawn);
  return adjusted_;
}

// The top_k likeliest, or all.
void Sampler::FindCandidates(std::span<const float> logits) {
  if (options_.top_k > 0) {
    likeliest_.Find(logits, options_.top_k, &candidates_);
    return;
  }
  candidates_.resize(logits.size());
  for (size_t id = 0; id < logits.size(); ++id) candidates_[id] = {logits[id], static_cast<TokenId>(id)};
}

TokenId Sampler::Sample(std::span<const float> logits, std::span<const TokenId> history, std::span<const TokenId> drawn) {
  logits = Penalised(logits, history, drawn);
  if (options_.temperature == 0.0f || options_.top_k == 1) return Argmax(logits);
  FindCandidates(logits);
  const float best = std::min_element(candidates_.begin(), candidates_.end(), Likelier)->logit;
  // As in llama.cpp's default chain, top-p and min-p look at the distribution before the temperature.
  if (options_.top_p < 1.0f) candidates_.resize(Walk(candidates_, best, 1.0f).Reach(static_cast<double>(options_.top_p)));
  if (options_.min_p > 0.0f) {
    const float floor = best + std::log(options_.min_p);
    std::erase_if(candidates_, [&](const RankedToken& token) { return token.logit < floor; });
  }
  return candidates_[Walk(candidates_, best, options_.temperature).Reach(NextUniform()) - 1].id;
}

}  // namespace damask::engine
