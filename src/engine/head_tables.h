// Tables with a number for each KV head (policies/head_table.h), learned from the model itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/calibration_texts.h"
#include "engine/engine.h"
#include "policies/head_table.h"

namespace damask::engine {

// Steps done and in all, seconds so far.
using HeadTableProgress = std::function<void(uint64_t done, uint64_t total, double seconds)>;

struct HeadTableResult {
  policies::HeadTable table;
  uint64_t length = 0;  // tokens of a text
  uint64_t texts = 0;
  double seconds = 0;
};

// Shares for policy tca (our reading of arXiv 2512.09238, docs/policies/tca.md).
struct SharesOptions {
  uint64_t samples = 8;
  uint64_t length = 0;           // of a text; 0: 4096, or the engine's context where that is shorter
  uint64_t rows = 64;            // last rows of a text, whose attention is looked at
  double tau = 0.95;             // the attention that a share has to hold
  double least = 0.05;           // no share is smaller
  double mean = 0;               // scales all shares to this mean by one factor; 0: as measured
  std::vector<NamedText> texts;  // empty: the built-in ones, prose and retrieval in turn
  uint64_t seed = 1;
};

// The share of a KV head: the smallest part of the keys that holds tau of the attention of the last rows (mean over rows and
// the heads of the group), mean over texts. Leaves the engine with policy full. Memory: the hidden states of all texts. Errors:
// InvalidArgument for options out of range and texts that are too short; Cancelled.
Result<HeadTableResult> HeadShares(Engine* engine, const SharesOptions& options, const HeadTableProgress& progress,
                                   const std::atomic<bool>* cancel);

// Of attention `weights` over all keys: the smallest share of the keys that holds `tau` of their sum, 1 for tau = 1.
double ShareThatHolds(std::vector<float> weights, double tau);

enum class GateBy {
  kMass,    // the attention that a streaming head would lose in rows that answer a question: one pass
  kEffect,  // the divergence of those rows' predictions when this KV head alone streams: a pass for each KV head
};

// Gates for policy duo (arXiv 2410.10819 trains them; docs/policies/duo.md).
struct GatesOptions {
  GateBy by = GateBy::kMass;
  uint64_t samples = 2;  // texts with questions and answers (texts/retrieval.h)
  uint64_t length = 0;   // of a text; 0: 2048, or the engine's context where that is shorter
  uint64_t sinks = 16;   // first keys that a streaming head sees
  uint64_t recent = 64;  // latest keys that it sees
  uint64_t seed = 1;
};

// Gates from 0 to 1, the highest being 1 (unless all are 0). kMass: of the head of the group that would lose most. Leaves the
// engine with policy full. Errors as HeadShares.
Result<HeadTableResult> HeadGates(Engine* engine, const GatesOptions& options, const HeadTableProgress& progress,
                                  const std::atomic<bool>* cancel);

}  // namespace damask::engine
