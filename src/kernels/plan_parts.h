// A plan in parts: attention over a long text for few rows is cut along the keys, threads compute the parts, and what they give
// is merged by its log-sum-exps.
// Source: Dao, Haziza, Massa & Sizov, Flash-Decoding for long-context inference (2023).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "kernels/plan.h"

namespace damask::kernels {

// Ranges [begin, end) of a plan's lists.
struct PlanPart {
  size_t first_entry = 0;
  size_t end_entry = 0;
  size_t first_column = 0;
  size_t end_column = 0;
  size_t first_pooled = 0;
  size_t end_pooled = 0;
};

// A part has at least so many keys, and less than twice as many (a little more where the last entry of a part is a whole
// block).
inline constexpr uint64_t kPartKeys = 2048;

// Cuts a plan into parts of about as many keys. Where the cuts are depends on the plan alone, so that a row's bits depend
// neither on threads nor on what else is computed. One part: a plan too short to be cut, or one with exact masks.
void CutPlan(const Plan& plan, std::vector<PlanPart>* parts);

// The part as a plan of its own; overwrites `out`.
void CopyPart(const Plan& plan, const PlanPart& part, Plan* out);

// What `parts` parts of a query block's plan gave becomes what the whole plan gives: written to block.out and, unless null,
// block.lse. outs [parts][part_lanes][head_dim], lses [parts][part_lanes]: the first rows * group of the lanes are in use, in
// the order [rows, group]. block.sinks count here; the parts were computed without.
void MergeParts(const AttentionShape& shape, const QueryBlock& block, size_t parts, size_t part_lanes, const float* outs,
                const float* lses);

}  // namespace damask::kernels
