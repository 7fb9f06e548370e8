// The attention kernel alone: random keys and queries, random block plans. What `damask bench attention` prints.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/cpu.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/page.h"

namespace damask::kernels {

struct AttentionBenchOptions {
  size_t head_dim = 128;
  size_t heads = 32;
  size_t kv_heads = 8;
  size_t context = 16384;         // positions; every one of them is a query
  std::vector<double> densities;  // of the sparse runs, in (0, 1]; a dense run comes first in any case
  KvType kv = KvType::kBf16;      // of the pages
  Target target = Target::kScalar;
  ThreadPool* pool = nullptr;  // not owned
  double peak_flops = 0.0;     // of bf16 products, measured by the caller, for fraction_of_peak; 0: unknown
  double min_seconds = 1.0;    // a case is repeated (at most 5 times) until it has taken this long
  // Of BenchAttention alone; told after each density: how many, of how many, and the seconds since the first one began.
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(uint64_t done, uint64_t total, double seconds)> progress;
  uint64_t decode_cache_bytes = uint64_t{512}
                                << 20;  // of keys and values that a decode run goes through: far more than caches hold
  uint32_t seed = 1;
};

struct AttentionBenchResult {
  double density = 0.0;           // planned pairs over causal pairs, as planned: near what was asked for
  uint64_t blocks = 0;            // planned key blocks, over all KV heads and query blocks
  double seconds = 0.0;           // median; making the plans is not counted
  double tflops = 0.0;            // 4 * head_dim * planned pairs / seconds / 1e12
  double fraction_of_peak = 0.0;  // 0 where the peak is unknown
  double efficiency = 0.0;        // dense seconds * density / seconds: 1 where time shrinks as the pairs do
};

// Prefill of `context` rows in chunks of 512, as the engine reads a prompt: for each chunk all (KV head, query block) items
// over the pool. The first result is the dense run. A cancel is no error: repetitions that were finished count, and a density
// without any has no result. InvalidArgument for shapes the kernels do not take, TooLarge where the cache would exceed 64 GiB.
Result<std::vector<AttentionBenchResult>> BenchAttention(const AttentionBenchOptions& options);

struct DecodeBenchResult {
  double seconds = 0.0;           // of one token in one layer, median
  double bytes_per_second = 0.0;  // keys and values read
};

// One row per KV head over `context` keys, layer by layer, for as many layers as decode_cache_bytes hold (at least one).
Result<DecodeBenchResult> BenchDecodeAttention(const AttentionBenchOptions& options);

}  // namespace damask::kernels
