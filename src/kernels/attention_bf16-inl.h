// Operations of AVX-512 with bf16 products, for the vector body and for the vector half of the AMX body. A unit is a pair of
// bf16: two dimensions of a key, or the weights of two keys.
#pragma once

#include <immintrin.h>

#include "kernels/attention-inl.h"
#include "kernels/transpose_avx512-inl.h"

namespace damask::kernels {
namespace {

struct Bf16Ops {
  using Vec = __m512;
  using UnitVec = __m512i;
  using Unit = uint32_t;
  static constexpr size_t kN = 16;
  static constexpr size_t kUnitElements = 2;
  static constexpr size_t kRunUnits = 8;
  static constexpr size_t kMaxVecs = 4;
  // 32 registers: 4 x 4 accumulators, 8 x 3, 8 x 2 or 16 x 1, and what they are made of.
  static constexpr int KeyBlock(int vecs) { return vecs == 1 ? 16 : vecs == 4 ? 4 : 8; }

  static Vec Zero() { return _mm512_setzero_ps(); }
  static Vec Set(float x) { return _mm512_set1_ps(x); }
  static Vec Load(const float* p) { return _mm512_load_ps(p); }
  static void Store(Vec v, float* p) { _mm512_store_ps(p, v); }
  static UnitVec LoadUnits(const uint32_t* p) { return _mm512_load_si512(p); }
  static UnitVec Splat(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec MulAdd(Vec sum, UnitVec a, UnitVec b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
  static Vec MulAdd(Vec sum, Vec a, Vec b) { return _mm512_fmadd_ps(a, b, sum); }
  static Vec MulSub(Vec a, Vec b, Vec c) { return _mm512_fmsub_ps(a, b, c); }
  static Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec ZeroIfMinusInfinity(Vec v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, Set(-__builtin_inff()), _CMP_NEQ_UQ), v);
  }

  // Rows of pairs: lane l of row key / 2 holds the bf16 weights of keys `key` and `key` + 1.
  template <size_t kRow>
  static void StoreWeights(Vec even, Vec odd, uint32_t* weights, size_t key) {
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                                5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i pairs = _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
    _mm512_store_si512(weights + key / 2 * kRow, pairs);
  }

  static Vec Masked(Vec score, const KeyMask& mask, const int32_t* row, const int32_t* head_bit) {
    const __m512i rows = _mm512_load_si512(row);
    __mmask16 ok = _mm512_test_epi32_mask(_mm512_load_si512(head_bit), _mm512_set1_epi32(static_cast<int>(mask.heads)));
    ok = _mm512_mask_cmpge_epi32_mask(ok, rows, _mm512_set1_epi32(mask.row_begin));
    ok = _mm512_mask_cmplt_epi32_mask(ok, rows, _mm512_set1_epi32(mask.row_end));
    return _mm512_mask_mov_ps(Set(-__builtin_inff()), ok, score);
  }

  // 2^x with a relative error below 4e-6, a thousandth of what rounding the weight to bf16 costs; exactly 1 at 0, exactly 0
  // below -150. Minimax polynomial of degree 4 on [-1/2, 1/2] with p(0) = 1.
  static Vec Exp2(Vec x) {
    x = _mm512_max_ps(x, Set(-200.0f));
    const Vec whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec rest = _mm512_sub_ps(x, whole);
    Vec p = _mm512_fmadd_ps(Set(0.009782912553481137f), rest, Set(0.05597688362709463f));
    p = _mm512_fmadd_ps(p, rest, Set(0.24020711078853463f));
    p = _mm512_fmadd_ps(p, rest, Set(0.693113604403908f));
    p = _mm512_fmadd_ps(p, rest, Set(1.0f));
    return _mm512_scalef_ps(p, whole);
  }
};

// 32 floats as 16 bf16 pairs; `count` (16 or 32) of them exist, the rest is zero.
inline __m512i LoadPairs(const float* x, size_t count, __m512 sign) {
  const __m512 low = _mm512_mul_ps(_mm512_loadu_ps(x), sign);
  const __m512 high = count > 16 ? _mm512_mul_ps(_mm512_loadu_ps(x + 16), sign) : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// Q^T [head_dim / 2 rounded up to 16][kRow] pairs: what the vector body reads row by row and what AMX takes as its B operand.
template <size_t kRow>
void PackPairs(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  auto* const q = static_cast<uint32_t*>(block->q);
  for (size_t d = 0; d < head_dim; d += 32) {
    for (size_t lane = 0; lane < kRow; lane += 16) {
      __m512i rows[16];
      for (size_t i = 0; i < 16; ++i) {
        const float* const query = queries[lane + i];
        rows[i] = query == nullptr ? _mm512_setzero_si512() : LoadPairs(query + d, head_dim - d, Bf16Ops::Set(sign));
      }
      Transpose16(rows);
      for (size_t i = 0; i < 16; ++i) _mm512_store_si512(q + (d / 2 + i) * kRow + lane, rows[i]);
    }
  }
  VectorSteps<Bf16Ops, kRow>::ClearState(head_dim, block);
}

// Zero for a lane for which nothing is planned.
inline __m512 InverseSums(const float* sums) {
  const __m512 sum = _mm512_load_ps(sums);
  const __mmask16 some = _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_GT_OQ);
  return _mm512_maskz_div_ps(some, _mm512_set1_ps(1.0f), sum);
}

template <size_t kRow>
void FinishRows(LaneBlock* block, size_t head_dim, float* const* outs) {
  for (size_t lane = 0; lane < block->lanes; lane += 16) {
    const __m512 inverse = InverseSums(block->sum + lane);
    for (size_t d = 0; d < head_dim; d += 16) {
      __m512i rows[16];
      for (size_t i = 0; i < 16; ++i) {
        rows[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_load_ps(block->out + (d + i) * kRow + lane), inverse));
      }
      Transpose16(rows);
      for (size_t i = 0; i < 16 && lane + i < block->lanes; ++i) {
        _mm512_storeu_ps(outs[lane + i] + d, _mm512_castsi512_ps(rows[i]));
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
