#include "engine/effect.h"

#include <algorithm>
#include <cmath>

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

uint64_t EffectMeter::tokens() const {
  uint64_t tokens = 0;
  for (const EffectText& text : texts_) tokens += text.ids.size();
  return tokens;
}

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

Status EffectMeter::Run(const Rows& rows, const std::atomic<bool>* cancel) {
  const size_t vocab = engine_->model().config().vocab;
  for (const EffectText& text : texts_) {
    Session session(engine_);
    size_t next = 0;
    const auto take = [&](uint64_t first, size_t count, const float* logits) {
      for (; next < text.scored.size() && text.scored[next] < first + count; ++next) {
        rows(text, next, logits + (text.scored[next] - first) * vocab);
      }
    };
    DAMASK_RETURN_IF_ERROR(session.AppendAll(text.ids, take, nullptr, cancel));
  }
  ++passes_;
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
      cancel);
}

Result<Effect> EffectMeter::Measure(std::unique_ptr<policies::Policy> policy, const std::atomic<bool>* cancel) {
  const size_t vocab = engine_->model().config().vocab;
  engine_->SetPolicy(std::move(policy));
  double sums[2] = {};
  uint64_t counts[2] = {};
  const float* reference = reference_.data();
  std::vector<float> scratch;
  DAMASK_RETURN_IF_ERROR(Run(
      [&](const EffectText& text, size_t, const float* logits) {
        const size_t kind = text.kind == TextKind::kProse ? 0 : 1;
        sums[kind] += Divergence(reference, logits, vocab, &scratch);
        ++counts[kind];
        reference += vocab;
      },
      cancel));
  const auto mean = [&](size_t kind) { return counts[kind] == 0 ? 0.0 : sums[kind] / static_cast<double>(counts[kind]); };
  return Effect{.prose = mean(0), .retrieval = mean(1)};
}

}  // namespace damask::engine
