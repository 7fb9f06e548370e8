#include "masks/density.h"

#include <algorithm>
#include <span>

namespace damask::masks {
namespace {

constexpr uint64_t kSampledBlocks = 64;

struct Pairs {
  double planned = 0.0;
  double causal = 0.0;
};

Pairs CountPairs(const GroupMask& group, uint64_t length, PlanMode mode, uint32_t window, const ChosenOf& chosen) {
  const uint64_t blocks = (length + kernels::kQueryBlockRows - 1) / kernels::kQueryBlockRows;
  const uint64_t sampled = std::min(blocks, kSampledBlocks);
  CompileScratch scratch;
  kernels::Plan plan;
  Pairs pairs;
  for (uint64_t i = 0; i < sampled; ++i) {
    // The middle of the i-th of `sampled` equal parts.
    const uint64_t block = (2 * i + 1) * blocks / (2 * sampled);
    const uint64_t first = block * kernels::kQueryBlockRows;
    const size_t rows = std::min<uint64_t>(kernels::kQueryBlockRows, length - first);
    group.MakePlan({.first_position = first, .rows = rows, .window = window}, mode, &scratch, &plan,
                   chosen ? chosen(first, rows) : GroupMask::Chosen());
    pairs.planned += static_cast<double>(kernels::PlannedPairs(plan, first, rows, group.group()));
    pairs.causal += static_cast<double>(kernels::CausalPairs(first, rows, group.group()));
  }
  return pairs;
}

}  // namespace

double PlannedDensity(const GroupMask& group, uint64_t length, PlanMode mode, const ChosenOf& chosen) {
  if (length == 0) return 0.0;
  const Pairs pairs = CountPairs(group, length, mode, 0, chosen);
  return pairs.planned / pairs.causal;
}

double PlannedDensity(const Mask& mask, uint64_t length, PlanMode mode, std::span<const uint32_t> windows) {
  if (length == 0 || mask.heads.empty()) return 0.0;
  const Fingerprint& f = mask.fingerprint;
  const size_t group = f.kv_heads == 0 ? 1 : std::min<size_t>(f.heads / f.kv_heads, kernels::kMaxGroup);
  double planned = 0.0;
  double causal = 0.0;
  for (size_t first = 0; first < mask.heads.size(); first += group) {
    const size_t count = std::min(group, mask.heads.size() - first);
    const uint32_t window = windows.empty() ? 0 : windows[first / f.heads];
    const Pairs pairs =
        CountPairs(GroupMask(std::span(mask.heads).subspan(first, count), mask.parameters), length, mode, window, nullptr);
    planned += pairs.planned;
    causal += pairs.causal;
  }
  return planned / causal;
}

}  // namespace damask::masks
