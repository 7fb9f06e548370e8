// What the bodies for at most 8 lanes share (attention_fewlanes.cc, attention_fewlanes_q8.cc). A vector holds 4 lanes in its
// 128-bit groups, 4 numbers of each. State of 4 lanes: max and sum as [lane][4 equal numbers], O^T as [head_dim / 4][lane][4
// dimensions]; scores as [key / 4][lane][4 keys].
#pragma once

#include "kernels/attention_bf16-inl.h"

namespace damask::kernels {
namespace {

constexpr size_t kFew = 4;  // lanes of a vector

// Always inlined, as are functions that do nothing else: GCC 12 takes a function of prefetches for one without effects, and
// leaves out its calls.
[[gnu::always_inline]] inline void Prefetch(const char* p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += kCacheLine) _mm_prefetch(p + i, _MM_HINT_T1);
}

inline __m512 Dot(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

// Group g of the result holds the four sums over group g of a[0], a[1], a[2], a[3].
inline __m512 SumGroups(const __m512 a[4]) {
  const __m512 t01 = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
  const __m512 t23 = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(t01), _mm512_castps_pd(t23));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(t01), _mm512_castps_pd(t23));
  return _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
}

template <class Combine>
__m512 ReduceGroups(__m512 v, const Combine& combine) {
  v = combine(v, _mm512_permute_ps(v, 0xb1));
  return combine(v, _mm512_permute_ps(v, 0x4e));
}

// Nothing seen yet, of all the lanes that a block of these bodies may have, as far as WeighStates looks.
inline void ClearFew(size_t head_dim, LaneBlock* block) {
  for (size_t i = 0; i < 2 * kFew * 4; ++i) {
    block->max[i] = -__builtin_inff();
    block->sum[i] = 0.0f;
  }
  __builtin_memset(block->out, 0, 2 * kFew * (head_dim + 16) * sizeof(float));
}

// Scores of 4 masked keys: lane (g, i) is query lane `first` + g with key i.
inline __m512 MaskFour(__m512 scores, const KeyMask* masks, const LaneBlock& block, size_t first) {
  unsigned ok = 0;
  for (size_t g = 0; g < kFew; ++g) {
    const int32_t row = block.row[first + g];
    const auto head = static_cast<uint32_t>(block.head_bit[first + g]);
    for (size_t i = 0; i < 4; ++i) {
      const bool allowed = (masks[i].heads & head) != 0 && row >= masks[i].row_begin && row < masks[i].row_end;
      ok |= static_cast<unsigned>(allowed) << (g * 4 + i);
    }
  }
  return _mm512_mask_mov_ps(_mm512_set1_ps(-__builtin_inff()), static_cast<__mmask16>(ok), scores);
}

// Weights of the scores of lane vector j of kVecs, 8 keys at a time: Inner stores them. `max` are the new maxima; gives the
// factor of what was accumulated before.
template <int kVecs, class Inner>
__m512 Softmax(size_t keys, float log2_scale, int j, __m512 max, const StepScratch& scratch, LaneBlock* block) {
  constexpr size_t kRow = kVecs * 16;
  const __m512 scale = _mm512_set1_ps(log2_scale);
  const __m512 old_max = _mm512_load_ps(block->max + j * 16);
  const __m512 base = Bf16Ops::ZeroIfMinusInfinity(max);
  const __m512 shift = Bf16Ops::Mul(base, scale);
  const __m512 factor = Bf16Ops::Exp2(Bf16Ops::Mul(Bf16Ops::Sub(old_max, base), scale));  // as in attention-inl.h
  __m512 sum = _mm512_setzero_ps();
  for (size_t key = 0; key < keys; key += 8) {
    const float* const scores = scratch.scores + key / 4 * kRow + j * 16;
    const __m512 low = Bf16Ops::Exp2(Bf16Ops::MulSub(_mm512_load_ps(scores), scale, shift));
    const __m512 high = Bf16Ops::Exp2(Bf16Ops::MulSub(_mm512_load_ps(scores + kRow), scale, shift));
    sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
    Inner::StoreWeights(scratch, j, key, low, high);
  }
  sum = ReduceGroups(sum, [](__m512 a, __m512 b) { return _mm512_add_ps(a, b); });
  _mm512_store_ps(block->sum + j * 16, _mm512_fmadd_ps(_mm512_load_ps(block->sum + j * 16), factor, sum));
  _mm512_store_ps(block->max + j * 16, max);
  return factor;
}

// Inner: Scores(), StoreWeights(), Values() and kRunKeys of a form of keys and values.
template <int kVecs, class Inner>
void StepVecs(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
              LaneBlock* block) {
  __m512 max[kVecs];
  __m512 factors[kVecs];
  for (int j = 0; j < kVecs; ++j) max[j] = _mm512_load_ps(block->max + j * 16);
  Inner::Scores(runs, count, head_dim, *block, scratch.scores, max);
  for (int j = 0; j < kVecs; ++j) {
    max[j] = ReduceGroups(max[j], [](__m512 a, __m512 b) { return _mm512_max_ps(a, b); });
    factors[j] = Softmax<kVecs, Inner>(count * Inner::kRunKeys, log2_scale, j, max[j], scratch, block);
  }
  Inner::Values(runs, count, head_dim, factors, scratch, block);
}

template <template <int> class Inner>
void StepFew(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
             LaneBlock* block) {
  (block->lanes <= kFew ? StepVecs<1, Inner<1>> : StepVecs<2, Inner<2>>)(runs, count, head_dim, log2_scale, scratch, block);
}

inline void FinishFew(LaneBlock* block, size_t head_dim, float* const* outs) {
  const size_t vecs = (block->lanes + kFew - 1) / kFew;
  for (size_t lane = 0; lane < block->lanes; ++lane) {
    block->max[lane] = block->max[lane * 4];  // the first of its four copies; read before it is overwritten
    block->sum[lane] = block->sum[lane * 4];
    const float inverse = block->sum[lane] > 0.0f ? 1.0f / block->sum[lane] : 0.0f;
    const float* const out = block->out + lane / kFew * 16 + lane % kFew * 4;
    for (size_t d = 0; d < head_dim; ++d) outs[lane][d] = out[d / 4 * vecs * 16 + d % 4] * inverse;
  }
}

}  // namespace
}  // namespace damask::kernels
