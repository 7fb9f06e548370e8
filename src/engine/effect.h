// What masked attention changes in what a model says: the divergence of its next-token distribution from full attention.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace damask::engine {

enum class TextKind { kProse, kRetrieval };

struct EffectText {
  TextKind kind = TextKind::kProse;
  std::vector<TokenId> ids;
  // Ascending: the distributions after these positions are compared.
  std::vector<uint32_t> scored;
};

// Mean KL(full || masked) in nats over the scored positions of each kind; 0 for a kind without any.
struct Effect {
  double prose = 0;
  double retrieval = 0;
  double worst() const { return prose > retrieval ? prose : retrieval; }
};

class EffectMeter {
 public:
  // Nothing but the engine is kept of what the caller holds.
  EffectMeter(Engine* engine, std::vector<EffectText> texts);

  // Runs the texts with full attention and keeps the distributions: at most kReferenceBytes, so of large vocabularies fewer
  // positions of prose count. Errors: Cancelled and those of a session.
  Status MeasureReference(const std::atomic<bool>* cancel);

  // Runs the texts with `policy`, which stays the engine's. As soon as the worst effect is certain to pass `enough`, it stops:
  // what comes back is then too small, but larger than `enough`.
  Result<Effect> Measure(std::unique_ptr<policies::Policy> policy, double enough, const std::atomic<bool>* cancel);

 private:
  using Rows = std::function<void(const EffectText& text, size_t scored, const float* logits)>;
  // Whether to go on, asked after each chunk; null: every text is read to its end.
  using GoesOn = std::function<bool()>;
  Status Run(const Rows& rows, const GoesOn& goes_on, const std::atomic<bool>* cancel);
  void LimitScoredPositions();

  Engine* engine_;
  std::vector<EffectText> texts_;
  std::vector<float> reference_;  // log-probabilities [scored positions of all texts, vocab]
};

// Larger than any effect: Measure goes to the end.
inline constexpr double kNeverEnough = std::numeric_limits<double>::infinity();
inline constexpr uint64_t kReferenceBytes = uint64_t{256} << 20;

}  // namespace damask::engine
