// What a policy's choice costs as a text grows, without the attention that follows: random keys and queries of one KV head.
// What `damask bench policies` prints.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/status.h"

namespace damask::policies {

struct PolicyBenchOptions {
  size_t head_dim = 64;
  size_t group = 4;                // query heads of the KV head
  std::vector<uint64_t> contexts;  // ascending, at least 1024 and 576 apart: what is timed at one is behind the one before
  Target target = BestTarget();
  uint32_t seed = 1;
};

// At one context. Times are those of one row, of one KV head in one layer, on one thread: everything that the forward pass
// calls (KeysAppended, MakePlan, ChunkDone).
struct PolicyBenchResult {
  uint64_t context = 0;
  double prefill_seconds = 0;  // the last 512 rows of a prompt of `context`, over 512
  double decode_seconds = 0;   // 64 drawn tokens behind it, over 64
  double planned_keys = 0;     // of the last drawn token, mean over the heads
};

// The errors that BenchPolicy has before it begins.
Status CheckPolicyBench(const std::string& spec, const PolicyBenchOptions& options);

// `spec` is a policy's, or "content-heads:rank=R": dam with heads that all choose their keys by R directions, without a mask
// file.
//
// One pass over the longest context, in chunks as a prompt is read; it halts at the others on its way. InvalidArgument: a wrong
// SPEC, contexts out of order or too close, a shape that the kernels do not take; TooLarge; Cancelled.
Result<std::vector<PolicyBenchResult>> BenchPolicy(const std::string& spec, const PolicyBenchOptions& options,
                                                   const std::atomic<bool>* cancel);

}  // namespace damask::policies
