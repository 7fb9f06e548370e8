// The scalar reference: what a plan means, one pair at a time. Every other body is tested against it.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention.h"

namespace damask::kernels {
namespace {

constexpr double kNegativeInfinity = -std::numeric_limits<double>::infinity();

// Online softmax of one (row, head).
struct RowState {
  double max = kNegativeInfinity;
  double sum = 0.0;
  std::vector<double> weighted;
};

class Reference {
 public:
  Reference(const AttentionShape& shape, const std::byte* const* pages)
      : shape_(shape), layout_{shape.head_dim, shape.kv}, pages_(pages), key_(shape.head_dim), value_(shape.head_dim) {}

  void AddPair(const float* q, uint64_t position, RowState* state) {
    AddSlot(q, pages_[position / kPageTokens], position % kPageTokens, 0.0, state);
  }

  // `stands_for`: the logarithm of how many keys the slot stands for.
  void AddSlot(const float* q, const std::byte* page, size_t slot, double stands_for, RowState* state) {
    LoadKey(layout_, page, slot, key_.data());
    double score = 0.0;
    for (size_t d = 0; d < shape_.head_dim; ++d) score += double{q[d]} * double{key_[d]};
    score = score * shape_.scale + stands_for;
    if (score > state->max) {
      const double shrink = std::exp(state->max - score);  // 0 for the first pair
      state->sum *= shrink;
      for (double& x : state->weighted) x *= shrink;
      state->max = score;
    }
    const double weight = std::exp(score - state->max);
    state->sum += weight;
    LoadValue(layout_, page, slot, value_.data());
    for (size_t d = 0; d < shape_.head_dim; ++d) state->weighted[d] += weight * value_[d];
  }

 private:
  AttentionShape shape_;
  PageLayout layout_;
  const std::byte* const* pages_;
  std::vector<float> key_;
  std::vector<float> value_;
};

bool EntryHasPair(const Plan& plan, const PlanEntry& entry, size_t head, uint64_t first, size_t row, size_t slot) {
  const uint64_t query = first + row;
  const uint64_t key = uint64_t{entry.block} * kPageTokens + slot;
  if ((entry.heads >> head & 1) == 0 || (entry.quarters >> (slot / kQuarterTokens) & 1) == 0) return false;
  if (entry.causal && key > query) return false;
  if (entry.exact != kNoExactMask && (plan.exact_masks[entry.exact].rows[slot] >> row & 1) == 0) return false;
  return entry.window == 0 || key + entry.window > query;
}

void AddPooled(const Plan& plan, const float* q, size_t head, uint64_t query, Reference* reference, RowState* state) {
  for (const PooledEntry& entry : plan.pooled) {
    if ((entry.heads >> head & 1) == 0) continue;
    for (size_t slot = 0; slot < kPageTokens && LastPosition(entry, slot) <= query; ++slot) {
      if ((entry.quarters >> (slot / kQuarterTokens) & 1) == 0) continue;
      reference->AddSlot(q, plan.pooled_pages[entry.shift][entry.page], slot, std::log(static_cast<double>(1u << entry.shift)),
                         state);
    }
  }
}

}  // namespace

void AttentionReference(const AttentionShape& shape, const QueryBlock& block, const Plan& plan, const std::byte* const* pages,
                        AttentionScratch* /*scratch*/) {
  Reference reference(shape, pages);
  RowState state;
  for (size_t row = 0; row < block.rows; ++row) {
    for (size_t head = 0; head < shape.group; ++head) {
      const uint64_t query = block.first_position + row;
      const float* const q = block.q + row * block.q_stride + head * shape.head_dim;
      float* const out = block.out + row * block.out_stride + head * shape.head_dim;
      state.max = block.sinks == nullptr ? kNegativeInfinity : double{block.sinks[head]};
      state.sum = block.sinks == nullptr ? 0.0 : 1.0;
      state.weighted.assign(shape.head_dim, 0.0);
      for (const PlanEntry& entry : plan.entries) {
        for (size_t slot = 0; slot < kPageTokens; ++slot) {
          if (!EntryHasPair(plan, entry, head, block.first_position, row, slot)) continue;
          reference.AddPair(q, uint64_t{entry.block} * kPageTokens + slot, &state);
        }
      }
      for (const PlanColumn& column : plan.columns) {
        if ((column.heads >> head & 1) == 0 || column.position > query) continue;
        reference.AddPair(q, column.position, &state);
      }
      AddPooled(plan, q, head, query, &reference, &state);
      const double inverse = state.sum > 0.0 ? 1.0 / state.sum : 0.0;
      for (size_t d = 0; d < shape.head_dim; ++d) out[d] = static_cast<float>(state.weighted[d] * inverse);
      if (block.lse != nullptr) block.lse[row * shape.group + head] = static_cast<float>(state.max + std::log(state.sum));
    }
  }
}

}  // namespace damask::kernels
