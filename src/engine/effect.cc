#include "engine/effect.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace damask::engine {
namespace {

// log softmax, in place.
void LogSoftmax(const float* logits, size_t n, float* out) {
  const float best = *std::max_element(logits, logits + n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(std::exp(logits[i] - best));
  const auto shift = static_cast<float>(static_cast<double>(best) + std::log(sum));
  for (size_t i = 0; i < n; ++i) out[i] = logits[i] - shift;
}

double Divergence(const float* reference, const float* logits, size_t n, std::vector<float>* scratch) {
  scratch->resize(n);
  LogSoftmax(logits, n, scratch->data());
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += static_cast<double>(std::exp(reference[i]) * (reference[i] - (*scratch)[i]));
  }
  return std::max(sum, 0.0);
}

}  // namespace

EffectMeter::EffectMeter(Engine* engine, std::vector<EffectText> texts) : engine_(engine), texts_(std::move(texts)) {}

// Answers are few and count most: prose gives way.
void EffectMeter::LimitScoredPositions() {
  const uint64_t row_bytes = engine_->model().config().vocab * sizeof(float);
  uint64_t left = std::max<uint64_t>(1, kReferenceBytes / row_bytes);
  for (const TextKind kind : {TextKind::kRetrieval, TextKind::kProse}) {
    for (EffectText& text : texts_) {
      if (text.kind != kind) continue;
      const uint64_t share = kind == TextKind::kRetrieval ? left : left / 2 + 1;
      if (text.scored.size() > share) {
        std::vector<uint32_t> kept;
        for (uint64_t i = 0; i < share; ++i) kept.push_back(text.scored[i * text.scored.size() / share]);
        text.scored = std::move(kept);
      }
      left -= std::min<uint64_t>(left, text.scored.size());
    }
  }
}

Status EffectMeter::Run(const Rows& rows, const GoesOn& goes_on, const std::atomic<bool>* cancel) {
  const size_t vocab = engine_->model().config().vocab;
  for (const EffectText& text : texts_) {
    Session session(engine_);
    size_t next = 0;
    const auto take = [&](uint64_t first, size_t count, const float* logits) {
      for (; next < text.scored.size() && text.scored[next] < first + count; ++next) {
        rows(text, next, logits + (text.scored[next] - first) * vocab);
      }
    };
    std::span<const TokenId> left = text.ids;
    while (!left.empty()) {
      const std::span<const TokenId> chunk = left.first(std::min(left.size(), model::kChunkTokens));
      // Of a large vocabulary the output layer is a good part of the work.
      const bool scores = next < text.scored.size() && text.scored[next] < session.length() + chunk.size();
      DAMASK_RETURN_IF_ERROR(scores ? session.AppendAll(chunk, take, nullptr, cancel) : session.Append(chunk, nullptr, cancel));
      if (goes_on && !goes_on()) return {};
      left = left.subspan(chunk.size());
    }
  }
  return {};
}

Status EffectMeter::MeasureReference(const std::atomic<bool>* cancel) {
  LimitScoredPositions();
  const size_t vocab = engine_->model().config().vocab;
  DAMASK_RETURN_IF_ERROR(engine_->SetPolicy("full"));
  reference_.clear();
  return Run(
      [&](const EffectText&, size_t, const float* logits) {
        reference_.resize(reference_.size() + vocab);
        LogSoftmax(logits, vocab, reference_.data() + reference_.size() - vocab);
      },
      nullptr, cancel);
}

Result<Effect> EffectMeter::Measure(std::unique_ptr<policies::Policy> policy, double enough, const std::atomic<bool>* cancel) {
  const size_t vocab = engine_->model().config().vocab;
  engine_->SetPolicy(std::move(policy));
  uint64_t counts[2] = {};
  const auto index = [](const EffectText& text) { return text.kind == TextKind::kProse ? 0 : 1; };
  for (const EffectText& text : texts_) counts[index(text)] += text.scored.size();
  double sums[2] = {};
  const auto mean = [&](size_t kind) { return counts[kind] == 0 ? 0.0 : sums[kind] / static_cast<double>(counts[kind]); };
  const float* reference = reference_.data();
  std::vector<float> scratch;
  // Divergences are not negative: a mean over all positions that some of them alone push past the limit stays past it.
  DAMASK_RETURN_IF_ERROR(Run(
      [&](const EffectText& text, size_t, const float* logits) {
        sums[index(text)] += Divergence(reference, logits, vocab, &scratch);
        reference += vocab;
      },
      [&] { return mean(0) <= enough && mean(1) <= enough; }, cancel));
  return Effect{.prose = mean(0), .retrieval = mean(1)};
}

}  // namespace damask::engine
