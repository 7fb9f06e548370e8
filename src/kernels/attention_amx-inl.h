// Attention on AMX tiles, over a tile backend: S^T = K Q^T with key rows as they lie in the page (A), packed query pairs (B);
// O^T = V^T P^T with the page's V^T tiles (A) and the bf16 pairs that leave the exponentials (B). Softmax in between is the
// vector body's; nothing is repacked on the way.
//
// Products go by 2 x 2 tiles of C with each tile loaded just before its first use; loading four first and multiplying then runs
// at a third of that speed. Keys and values are streamed, so that they do not push Q^T, S^T and P^T out of L1.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/attention_bf16-inl.h"

namespace damask::kernels {
namespace {

template <class Tiles>
struct AmxSteps {
  static constexpr size_t kRunKeys = 32;
  static constexpr size_t kRow = 32;  // lanes of a block: with 128 keys scores, weights, queries and O^T all stay in L1
  static constexpr size_t kLaneRow = kRow * sizeof(float);  // bytes; a pair of bf16 is as wide

  // S^T of a run's 32 keys with 16 or 32 lanes. Dimensions beyond head_dim (a multiple of 16) meet zero queries.
  template <int kLaneTiles>
  static void ScoreTile(const bf16* keys, size_t head_dim, const uint32_t* q, float* scores) {
    const size_t key_row = head_dim * sizeof(bf16);
    Tiles::template Zero<0>();
    Tiles::template Zero<1>();
    if constexpr (kLaneTiles == 2) {
      Tiles::template Zero<2>();
      Tiles::template Zero<3>();
    }
    for (size_t d = 0; d < head_dim; d += 32) {
      const uint32_t* const queries = q + d / 2 * kRow;
      Tiles::template Load<6>(queries, kLaneRow);
      Tiles::template StreamLoad<4>(keys + d, key_row);
      Tiles::template DotBf16<0, 4, 6>();
      Tiles::template StreamLoad<5>(keys + 16 * head_dim + d, key_row);
      Tiles::template DotBf16<1, 5, 6>();
      if constexpr (kLaneTiles == 2) {
        Tiles::template Load<7>(queries + 16, kLaneRow);
        Tiles::template DotBf16<2, 4, 7>();
        Tiles::template DotBf16<3, 5, 7>();
      }
    }
    Tiles::template Store<0>(scores, kLaneRow);
    Tiles::template Store<1>(scores + 16 * kRow, kLaneRow);
    if constexpr (kLaneTiles == 2) {
      Tiles::template Store<2>(scores + 16, kLaneRow);
      Tiles::template Store<3>(scores + 16 * kRow + 16, kLaneRow);
    }
  }

  // O^T of 16 or 32 dimensions and 16 or 32 lanes over all runs of the step.
  template <int kDimTiles, int kLaneTiles>
  static void ValueTile(const KeyRun* runs, size_t count, size_t dim, const uint32_t* weights, float* out) {
    constexpr size_t kLineBytes = kValueLine * sizeof(bf16);
    Tiles::template Load<0>(out, kLaneRow);
    if constexpr (kDimTiles == 2) Tiles::template Load<1>(out + 16 * kRow, kLaneRow);
    if constexpr (kLaneTiles == 2) Tiles::template Load<2>(out + 16, kLaneRow);
    if constexpr (kDimTiles == 2 && kLaneTiles == 2) Tiles::template Load<3>(out + 16 * kRow + 16, kLaneRow);
    for (size_t r = 0; r < count; ++r) {
      const bf16* const values = static_cast<const bf16*>(runs[r].values) + dim * kValueLine;
      const uint32_t* const w = weights + r * kRunKeys / 2 * kRow;
      Tiles::template Load<6>(w, kLaneRow);
      Tiles::template StreamLoad<4>(values, kLineBytes);
      Tiles::template DotBf16<0, 4, 6>();
      if constexpr (kDimTiles == 2) {
        Tiles::template StreamLoad<5>(values + 16 * kValueLine, kLineBytes);
        Tiles::template DotBf16<1, 5, 6>();
      }
      if constexpr (kLaneTiles == 2) {
        Tiles::template Load<7>(w + 16, kLaneRow);
        Tiles::template DotBf16<2, 4, 7>();
        if constexpr (kDimTiles == 2) Tiles::template DotBf16<3, 5, 7>();
      }
    }
    Tiles::template Store<0>(out, kLaneRow);
    if constexpr (kDimTiles == 2) Tiles::template Store<1>(out + 16 * kRow, kLaneRow);
    if constexpr (kLaneTiles == 2) Tiles::template Store<2>(out + 16, kLaneRow);
    if constexpr (kDimTiles == 2 && kLaneTiles == 2) Tiles::template Store<3>(out + 16 * kRow + 16, kLaneRow);
  }

  // Masks the scores of a run and takes the maxima (in `max`, [kRow]) along.
  static void MaskAndMax(const KeyMask* masks, const LaneBlock& block, float* scores, float* max) {
    for (size_t lane = 0; lane < block.lanes; lane += 16) {
      __m512 best = Bf16Ops::Load(max + lane);
      for (size_t key = 0; key < kRunKeys; ++key) {
        __m512 score = Bf16Ops::Load(scores + key * kRow + lane);
        if (masks != nullptr) {
          score = Bf16Ops::Masked(score, masks[key], block.row + lane, block.head_bit + lane);
          Bf16Ops::Store(score, scores + key * kRow + lane);
        }
        best = Bf16Ops::Max(best, score);
      }
      Bf16Ops::Store(best, max + lane);
    }
  }

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch, const LaneBlock& block) {
    const auto* const q = static_cast<const uint32_t*>(block.q);
    for (size_t lane = 0; lane < kRow; lane += 16) Bf16Ops::Store(Bf16Ops::Load(block.max + lane), scratch.rescale + lane);
    for (size_t r = 0; r < count; ++r) {
      const auto* const keys = static_cast<const bf16*>(runs[r].keys);
      float* const scores = scratch.scores + r * kRunKeys * kRow;
      for (size_t lane = 0; lane < block.lanes; lane += 32) {
        (lane + 16 < block.lanes ? ScoreTile<2> : ScoreTile<1>)(keys, head_dim, q + lane, scores + lane);
      }
      // The maxima of one run while the tiles work on the next.
      if (r > 0) MaskAndMax(runs[r - 1].masks, block, scores - kRunKeys * kRow, scratch.rescale);
    }
    MaskAndMax(runs[count - 1].masks, block, scratch.scores + (count - 1) * kRunKeys * kRow, scratch.rescale);
  }

  // C tiles are loaded as they are, so the rescale is a pass of its own; it is left out while no maximum grows, which is most
  // of the time after the first steps.
  static void Rescale(size_t head_dim, const float* rescale, LaneBlock* block) {
    for (size_t lane = 0; lane < block->lanes; lane += 16) {
      const __m512 factor = Bf16Ops::Load(rescale + lane);
      if (_mm512_cmp_ps_mask(factor, Bf16Ops::Set(1.0f), _CMP_NEQ_UQ) == 0) continue;
      for (size_t d = 0; d < head_dim; ++d) {
        float* const out = block->out + d * kRow + lane;
        Bf16Ops::Store(Bf16Ops::Mul(Bf16Ops::Load(out), factor), out);
      }
    }
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch, LaneBlock* block) {
    const auto* const weights = static_cast<const uint32_t*>(scratch.weights);
    for (size_t lane = 0; lane < block->lanes; lane += 32) {
      const bool two = lane + 16 < block->lanes;
      size_t dim = 0;
      for (; dim + 32 <= head_dim; dim += 32) {
        (two ? ValueTile<2, 2> : ValueTile<2, 1>)(runs, count, dim, weights + lane, block->out + dim * kRow + lane);
      }
      if (dim < head_dim) {
        (two ? ValueTile<1, 2> : ValueTile<1, 1>)(runs, count, dim, weights + lane, block->out + dim * kRow + lane);
      }
    }
  }

  static void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
                   LaneBlock* block) {
    Scores(runs, count, head_dim, scratch, *block);
    VectorSteps<Bf16Ops, kRow>::Softmax(count * kRunKeys, log2_scale, scratch, block);
    Rescale(head_dim, scratch.rescale, block);
    Values(runs, count, head_dim, scratch, block);
  }

  static void Enter() { Tiles::Configure(amx::FullTiles()); }
  static void Leave() { Tiles::Release(); }
};

template <class Tiles>
constexpr AttentionBody MakeAmxBody(const char* name) {
  using Steps = AmxSteps<Tiles>;
  return {name,
          Steps::kRow,
          Steps::kRunKeys,
          128,
          Steps::kRow * sizeof(bf16),
          PackPairs<Steps::kRow>,
          nullptr,
          Steps::Step,
          FinishRows<Steps::kRow>,
          Steps::Enter,
          Steps::Leave};
}

}  // namespace
}  // namespace damask::kernels
