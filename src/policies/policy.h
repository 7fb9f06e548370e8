// A policy makes plans: which key blocks a query block computes. Command line, benchmarks and the public API find it by name
// (registry.h); the kernels run its plans and know nothing of it.
//
// Stateless between sessions and thread-safe: MakePlan is called by all workers at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/page.h"
#include "kernels/plan.h"

namespace damask::policies {

// What a policy may know of the model when it is made.
struct ModelShape {
  size_t layers = 0;
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  std::vector<uint32_t> windows;  // the model's own sliding window per layer; empty or 0: none

  uint32_t window(size_t layer) const { return windows.empty() ? 0 : windows[layer]; }
};

// One query block of one KV head's group.
struct PlanRequest {
  size_t layer = 0;
  size_t kv_head = 0;
  uint64_t first_position = 0;              // of the block's first row
  size_t rows = 0;                          // 1 .. kernels::kQueryBlockRows
  uint64_t context = 0;                     // positions in the cache, this block's own included
  const std::byte* const* pages = nullptr;  // [context / 64, rounded up]: for policies that look at keys
  const kernels::PageLayout* layout = nullptr;
};

class Policy {
 public:
  virtual ~Policy() = default;

  // "streaming:sinks=4,window=1024": the SPEC that makes this policy again.
  virtual std::string Spec() const = 0;

  // Overwrites `plan`: causal, sorted, without duplicates, within the model's own window, and never empty for a row (the
  // diagonal is kept). A plan depends on the request alone.
  virtual void MakePlan(const PlanRequest& request, kernels::Plan* plan) const = 0;
};

}  // namespace damask::policies
