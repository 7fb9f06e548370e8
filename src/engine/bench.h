// `damask bench`: medians over repetitions, beside limits measured on the spot.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/sampler.h"

namespace damask::engine {

struct BenchOptions {
  std::vector<uint64_t> prompts = {512};
  std::vector<uint64_t> depths = {0};
  uint64_t generate = 32;
  uint64_t repeat = 3;
};

struct PrefillTiming {
  uint64_t tokens = 0;
  double seconds = 0;  // median
  double flops = 0;    // PrefillFlops
};

struct DecodeTiming {
  uint64_t depth = 0;
  double tokens_per_second = 0;  // median
  double bytes_per_token = 0;    // weights, and the keys and values that the plans name
};

struct BenchResult {
  std::vector<PrefillTiming> prefill;
  std::vector<DecodeTiming> decode;
};

// Random token ids (fixed seed); a warm-up run comes first. `progress` is told of each measurement by itself: the tokens of all
// its repetitions. Errors: InvalidArgument for a length that is there twice or longer than the context; those of
// Session::Append.
Result<BenchResult> RunBench(Engine* engine, const BenchOptions& options, const PrefillProgress& progress,
                             const std::atomic<bool>* cancel);

// Of an even number of values, of which there is one at least, the mean of the two in the middle.
double Median(std::vector<double> values);

// 2 * m n k of every product that reading a prompt runs, and attention over `density` of the causal pairs. Behind the last
// layer's keys and values only the prompt's last row is computed.
double PrefillFlops(const model::ModelConfig& config, uint64_t tokens, double density = 1.0);
// What one drawn token reads.
uint64_t WeightBytesPerToken(const model::Model& model);

}  // namespace damask::engine
