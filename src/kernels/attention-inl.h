// The step of attention over lane blocks, written once for all vector bodies. Included by the file of each instruction set,
// which supplies Ops: the types and operations of its vectors. Everything here is a template over Ops, so that no two files
// share code.
//
// Ops:
//   Vec            kN floats;  UnitVec  kN units. A unit is what one multiply-add eats per lane: a bf16 pair or one float
//   kRunUnits      units of a run's 16 keys
//   kMaxVecs       lane vectors that one register block covers
//   KeyBlock(n)    keys (or dimensions) of a register block with n lane vectors
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_steps.h"

namespace damask::kernels {

// kRow is the distance of the rows of Q^T, S^T, P^T and O^T: the lanes of the body's blocks.
template <class Ops, size_t kRow = kLanes>
struct VectorSteps {
  using Vec = typename Ops::Vec;
  using Unit = typename Ops::Unit;
  static constexpr size_t kN = Ops::kN;
  static constexpr size_t kRunKeys = 16;
  static constexpr size_t kLineUnits = 16;  // units from one dimension's values to the next

  // S^T of kKeys keys and kVecs lane vectors, in registers: one key unit, broadcast, serves all the vectors.
  template <int kVecs, int kKeys>
  static void ScoreKeys(const Unit* keys, size_t units, const Unit* q, const KeyMask* masks, const LaneBlock& block,
                        size_t lane, float* scores, float* max) {
    Vec sums[kKeys][kVecs];
#pragma GCC unroll 16
    for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) sums[i][j] = Ops::Zero();
    }
    for (size_t u = 0; u < units; ++u) {
      typename Ops::UnitVec queries[kVecs];
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) queries[j] = Ops::LoadUnits(q + u * kRow + j * kN);
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; ++i) {
        const auto key = Ops::Splat(keys + i * units + u);
#pragma GCC unroll 4
        for (int j = 0; j < kVecs; ++j) sums[i][j] = Ops::MulAdd(sums[i][j], key, queries[j]);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) {
      Vec best = Ops::Load(max + j * kN);
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; ++i) {
        Vec score = sums[i][j];
        if (masks != nullptr) score = Ops::Masked(score, masks[i], block.row + lane + j * kN, block.head_bit + lane + j * kN);
        best = Ops::Max(best, score);
        Ops::Store(score, scores + i * kRow + j * kN);
      }
      Ops::Store(best, max + j * kN);
    }
  }

  template <int kVecs>
  static void ScoreRuns(const KeyRun* runs, size_t count, size_t units, const LaneBlock& block, size_t lane, float* scores,
                        float* max) {
    constexpr int kKeys = Ops::KeyBlock(kVecs);
    const Unit* const q = static_cast<const Unit*>(block.q) + lane;
    for (size_t r = 0; r < count; ++r) {
      const Unit* const keys = static_cast<const Unit*>(runs[r].keys);
      for (size_t key = 0; key < kRunKeys; key += kKeys) {
        const KeyMask* const masks = runs[r].masks == nullptr ? nullptr : runs[r].masks + key;
        ScoreKeys<kVecs, kKeys>(keys + key * units, units, q, masks, block, lane, scores + (r * kRunKeys + key) * kRow + lane,
                                max + lane);
      }
    }
  }

  // Turns `keys` rows of scores into weights 2^((s - max) * log2_scale), adds them to the sums, and leaves in `rescale` (which
  // holds the new maxima at first) the factor of what was accumulated before: exactly 1 where the maximum did not grow. A lane
  // that has seen no key yet keeps maximum -infinity; its weights are 0.
  static void Softmax(size_t keys, float log2_scale, const StepScratch& scratch, LaneBlock* block) {
    const Vec scale = Ops::Set(log2_scale);
    Unit* const weights = static_cast<Unit*>(scratch.weights);
    for (size_t lane = 0; lane < block->lanes; lane += kN) {
      const Vec old_max = Ops::Load(block->max + lane);
      const Vec new_max = Ops::Load(scratch.rescale + lane);
      const Vec base = Ops::ZeroIfMinusInfinity(new_max);
      const Vec shift = Ops::Mul(base, scale);
      // Of the difference: old_max * scale - shift would be what rounding `shift` left, at every step again.
      const Vec factor = Ops::Exp2(Ops::Mul(Ops::Sub(old_max, base), scale));
      Ops::Store(new_max, block->max + lane);
      Ops::Store(factor, scratch.rescale + lane);
      Vec sum_even = Ops::Zero();
      Vec sum_odd = Ops::Zero();
      const float* const scores = scratch.scores + lane;
      for (size_t key = 0; key < keys; key += 2) {
        const Vec even = Ops::Exp2(Ops::MulSub(Ops::Load(scores + key * kRow), scale, shift));
        const Vec odd = Ops::Exp2(Ops::MulSub(Ops::Load(scores + (key + 1) * kRow), scale, shift));
        sum_even = Ops::Add(sum_even, even);
        sum_odd = Ops::Add(sum_odd, odd);
        Ops::template StoreWeights<kRow>(even, odd, weights + lane, key);
      }
      const Vec sum = Ops::MulAdd(Ops::Add(sum_even, sum_odd), Ops::Load(block->sum + lane), factor);
      Ops::Store(sum, block->sum + lane);
    }
  }

  // O^T of kDims dimensions and kVecs lane vectors. The rescale is one multiply on loading, next to which testing whether any
  // maximum grew costs as much.
  template <int kVecs, int kDims>
  static void AddValues(const KeyRun* runs, size_t count, size_t dim, const Unit* weights, const float* rescale, float* out) {
    Vec sums[kDims][kVecs];
#pragma GCC unroll 16
    for (int i = 0; i < kDims; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) {
        sums[i][j] = Ops::Mul(Ops::Load(out + i * kRow + j * kN), Ops::Load(rescale + j * kN));
      }
    }
    for (size_t r = 0; r < count; ++r) {
      const Unit* const values = static_cast<const Unit*>(runs[r].values) + dim * kLineUnits;
      const Unit* const run_weights = weights + r * Ops::kRunUnits * kRow;
#pragma GCC unroll 2
      for (size_t u = 0; u < Ops::kRunUnits; ++u) {
        typename Ops::UnitVec w[kVecs];
#pragma GCC unroll 4
        for (int j = 0; j < kVecs; ++j) w[j] = Ops::LoadUnits(run_weights + u * kRow + j * kN);
#pragma GCC unroll 16
        for (int i = 0; i < kDims; ++i) {
          const auto value = Ops::Splat(values + i * kLineUnits + u);
#pragma GCC unroll 4
          for (int j = 0; j < kVecs; ++j) sums[i][j] = Ops::MulAdd(sums[i][j], value, w[j]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kDims; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) Ops::Store(sums[i][j], out + i * kRow + j * kN);
    }
  }

  template <int kVecs>
  static void AddRuns(const KeyRun* runs, size_t count, size_t head_dim, size_t lane, const StepScratch& scratch,
                      LaneBlock* block) {
    constexpr int kDims = Ops::KeyBlock(kVecs);
    const Unit* const weights = static_cast<const Unit*>(scratch.weights) + lane;
    for (size_t dim = 0; dim < head_dim; dim += kDims) {
      AddValues<kVecs, kDims>(runs, count, dim, weights, scratch.rescale + lane, block->out + dim * kRow + lane);
    }
  }

  // Calls body.template operator()<kVecs>(lane) for groups of lane vectors that cover the block.
  template <class Body>
  static void ForLanes(size_t lanes, const Body& body) {
    size_t vecs = (lanes + kN - 1) / kN;
    size_t lane = 0;
    for (; vecs >= Ops::kMaxVecs; vecs -= Ops::kMaxVecs, lane += Ops::kMaxVecs * kN)
      body.template operator()<Ops::kMaxVecs>(lane);
    if constexpr (Ops::kMaxVecs > 3) {
      if (vecs == 3) body.template operator()<3>(lane);
    }
    if constexpr (Ops::kMaxVecs > 2) {
      if (vecs == 2) body.template operator()<2>(lane);
    }
    if (vecs == 1) body.template operator()<1>(lane);
  }

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch, const LaneBlock& block) {
    const size_t units = head_dim / Ops::kUnitElements;
    for (size_t lane = 0; lane < kRow; ++lane) scratch.rescale[lane] = block.max[lane];
    ForLanes(block.lanes, [&]<int kVecs>(size_t lane) {
      ScoreRuns<kVecs>(runs, count, units, block, lane, scratch.scores, scratch.rescale);
    });
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch, LaneBlock* block) {
    ForLanes(block->lanes, [&]<int kVecs>(size_t lane) { AddRuns<kVecs>(runs, count, head_dim, lane, scratch, block); });
  }

  static void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
                   LaneBlock* block) {
    Scores(runs, count, head_dim, scratch, *block);
    Softmax(count * kRunKeys, log2_scale, scratch, block);
    Values(runs, count, head_dim, scratch, block);
  }

  static void ClearState(size_t head_dim, LaneBlock* block) {
    for (size_t lane = 0; lane < kRow; ++lane) {
      block->max[lane] = -__builtin_inff();
      block->sum[lane] = 0.0f;
    }
    for (size_t i = 0; i < head_dim * kRow; ++i) block->out[i] = 0.0f;
  }
};

}  // namespace damask::kernels
