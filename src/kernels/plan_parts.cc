#include "kernels/plan_parts.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace damask::kernels {
namespace {

uint64_t KeysOf(uint8_t quarters) { return static_cast<uint64_t>(std::popcount(quarters)) * kQuarterTokens; }

uint64_t PlannedKeyCount(const Plan& plan) {
  uint64_t keys = plan.columns.size();
  for (const PlanEntry& entry : plan.entries) keys += KeysOf(entry.quarters);
  for (const PooledEntry& entry : plan.pooled) keys += KeysOf(entry.quarters);
  return keys;
}

// Collects keys in order and ends a part where the next share of all keys is reached.
class Cutter {
 public:
  Cutter(uint64_t keys, uint64_t wanted, std::vector<PlanPart>* parts) : keys_(keys), wanted_(wanted), parts_(parts) {}

  void Add(uint64_t keys) {
    done_ += keys;
    if (parts_->size() + 1 == wanted_ || done_ * wanted_ < keys_ * (parts_->size() + 1)) return;
    parts_->push_back(part);
    part = {part.end_entry, part.end_entry, part.end_column, part.end_column, part.end_pooled, part.end_pooled};
  }
  void End() { parts_->push_back(part); }

  PlanPart part;

 private:
  uint64_t keys_;
  uint64_t wanted_;
  uint64_t done_ = 0;
  std::vector<PlanPart>* parts_;
};

}  // namespace

void CutPlan(const Plan& plan, std::vector<PlanPart>* parts) {
  parts->clear();
  const uint64_t keys = PlannedKeyCount(plan);
  Cutter cutter(keys, plan.exact_masks.empty() ? std::max<uint64_t>(keys / kPartKeys, 1) : 1, parts);
  for (const PlanEntry& entry : plan.entries) {
    ++cutter.part.end_entry;
    cutter.Add(KeysOf(entry.quarters));
  }
  for (size_t i = 0; i < plan.columns.size(); ++i) {
    ++cutter.part.end_column;
    cutter.Add(1);
  }
  for (const PooledEntry& entry : plan.pooled) {
    ++cutter.part.end_pooled;
    cutter.Add(KeysOf(entry.quarters));
  }
  cutter.End();
}

void CopyPart(const Plan& plan, const PlanPart& part, Plan* out) {
  const auto copy = [](const auto& from, size_t begin, size_t end, auto* to) {
    to->assign(from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(end));
  };
  copy(plan.entries, part.first_entry, part.end_entry, &out->entries);
  copy(plan.columns, part.first_column, part.end_column, &out->columns);
  copy(plan.pooled, part.first_pooled, part.end_pooled, &out->pooled);
  out->exact_masks = plan.exact_masks;
  out->pooled_pages = plan.pooled_pages;
}

void MergeParts(const AttentionShape& shape, const QueryBlock& block, size_t parts, size_t part_lanes, const float* outs,
                const float* lses) {
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  const size_t lanes = block.rows * shape.group;
  for (size_t lane = 0; lane < lanes; ++lane) {
    const size_t head = lane % shape.group;
    float* const out = block.out + lane / shape.group * block.out_stride + head * shape.head_dim;
    const float sink = block.sinks == nullptr ? kNothing : block.sinks[head];
    float highest = sink;
    for (size_t p = 0; p < parts; ++p) highest = std::max(highest, lses[p * part_lanes + lane]);
    std::fill_n(out, shape.head_dim, 0.0f);
    if (block.lse != nullptr) block.lse[lane] = highest;
    if (highest == kNothing) continue;
    float sum = std::exp(sink - highest);
    for (size_t p = 0; p < parts; ++p) sum += std::exp(lses[p * part_lanes + lane] - highest);
    for (size_t p = 0; p < parts; ++p) {
      const float weight = std::exp(lses[p * part_lanes + lane] - highest) / sum;
      const float* const of_part = outs + (p * part_lanes + lane) * shape.head_dim;
      for (size_t d = 0; d < shape.head_dim; ++d) out[d] += weight * of_part[d];
    }
    if (block.lse != nullptr) block.lse[lane] = highest + std::log(sum);
  }
}

}  // namespace damask::kernels
