// The choice of treatments by effect: which heads may be static, and in which form, so that all masks together change what the
// model says by less than a limit.
//
// Every static form of a head has a quality, measured without running the model again: the strong-key hit it keeps on texts far
// beyond the capture length (heads that retrieve have the lowest). For a threshold on quality each head takes its cheapest form
// that reaches it and stays unmasked where none does; the joint effect grows as the threshold falls, so the threshold is
// bisected with one pass over the effect texts a step. Heads near the edge are then tried one by one. Unmasked heads choose
// blocks at run time where that keeps the limit: all of them with few blocks, else with more, else those that can. What is left
// of the limit makes more heads static. Both go by halves, so that few heads that must see everything are found in few passes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/status.h"
#include "engine/capture.h"
#include "engine/effect.h"
#include "masks/mask.h"

namespace damask::engine {

struct TreatmentOptions {
  double max_kl = 0.05;
  uint64_t length = 4096;  // costs are compared at this many tokens
  bool effect = true;      // false: by quality alone (kQualityWithoutEffect)
  bool content = true;     // unmasked heads choose blocks at run time where that keeps the limit
  // So many at most; 0: 10, 20, 40, ... up to a third of the effect texts, as few as keep the limit.
  uint32_t content_blocks = 0;
  bool each_head = false;  // also measure every head's effect alone: a pass a head
};
inline constexpr double kQualityWithoutEffect = 0.95;

// A second and third look at what lies behind the edge is worth so many passes in all; one more measures what was chosen, and
// content heads and the rest of the limit take at most 24 with effect texts of 2,048 tokens, two more whenever these double.
inline constexpr uint64_t kMaxPasses = 20;

// The static forms of one head, cheapest first, with their quality.
struct StaticOption {
  masks::StaticForm form = masks::StaticForm::kPatterns;
  uint32_t window = 0;
  double cost = 0;  // planned density
  double quality = 0;
  double hit = 0;
  double mass = 0;
};

std::vector<StaticOption> StaticOptions(const masks::HeadMask& head, const masks::Parameters& parameters,
                                        const HeadLosses& losses, const std::vector<WindowForm>& forms, uint64_t length);

struct TreatmentResult {
  Effect joint;
  uint64_t passes = 0;
};

// After every pass over the effect texts: how many there were, and how many there may be.
using PassProgress = std::function<void(uint64_t passes, uint64_t most)>;

// Sets treatment, form, window and figures of every head of `mask`. `options` [heads] as StaticOptions gives them. `meter` has
// its reference; null without effect.
Result<TreatmentResult> ChooseTreatments(const std::vector<std::vector<StaticOption>>& options, const TreatmentOptions& wanted,
                                         EffectMeter* meter, masks::Mask* mask, const policies::ModelShape& shape,
                                         const PassProgress& progress, const std::atomic<bool>* cancel);

}  // namespace damask::engine
