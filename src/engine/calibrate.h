// Calibration of a loaded model: DAM's first stage, and the choice of treatments (docs/cli.md, docs/mask-format.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/calibration_texts.h"
#include "engine/engine.h"
#include "engine/treatments.h"
#include "masks/mask.h"

namespace damask::engine {

enum class Goal {
  kEffect,    // the joint effect stays below max_kl
  kRecall,    // every static head holds target_recall of its mass
  kBudget,    // all heads together cost at most the density budget
  kPatterns,  // the paper: every head static, by its patterns
};

struct CalibrateOptions {
  masks::Parameters parameters;
  uint64_t samples = 16;
  std::vector<NamedText> texts;  // empty: the built-in ones
  Goal goal = Goal::kEffect;     // its figure is in parameters: max_kl, target_recall or budget
  bool effect = true;            // false: by strong-key hit alone
  bool content = true;
  uint32_t content_blocks = 0;  // so many at most; 0: as few as keep the limit. Sets parameters.content_blocks
  bool each_head = false;
  uint64_t effect_length = 0;  // 0: max(2048, 4 x capture length), without effects max(1024, 2 x), at most the engine's context
  uint64_t cost_length = 4096;
  uint64_t seed = 1;
};

struct CalibrateResult {
  masks::Mask mask;
  TreatmentResult treatments;
  double capture_seconds = 0;
  double effect_seconds = 0;
  double density = 0;  // planned, at cost_length; content heads as dense
};

// stage: "layers", or "passes over the effect texts" (of as many as there may be; often fewer). Seconds are the stage's.
using CalibrateProgress = std::function<void(std::string_view stage, uint64_t done, uint64_t total, double seconds)>;

// Works with the engine's model; its policy is `full` afterwards. Memory: one layer's maps, the hidden states of all samples, a
// text's KV cache, the reference distributions (effect.h). Errors: parameters out of range, texts that are too short,
// Cancelled.
Result<CalibrateResult> Calibrate(Engine* engine, const CalibrateOptions& options, const CalibrateProgress& progress,
                                  const std::atomic<bool>* cancel);

}  // namespace damask::engine
