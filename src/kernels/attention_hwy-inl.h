// The float32 body for CPUs with AVX-512 but without bf16 products, in Highway: keys and values are unpacked to floats once per
// step. Included by attention_avx512.cc, whose flags choose the vectors (static dispatch).
#pragma once

#include <hwy/highway.h>

#include "kernels/attention-inl.h"

namespace damask::kernels {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

struct FloatOps {
  using Tag = hn::ScalableTag<float>;
  using IntTag = hn::RebindToSigned<Tag>;
  using Vec = hn::Vec<Tag>;
  using UnitVec = Vec;
  using Unit = float;
  static constexpr size_t kN = HWY_LANES(float);
  static constexpr size_t kUnitElements = 1;
  static constexpr size_t kRunUnits = 16;
  // 32 registers hold 4 x 4 accumulators, 8 x 3, 8 x 2 or 16 x 1, and what they are made of.
  static constexpr size_t kMaxVecs = 4;
  static constexpr int KeyBlock(int vecs) { return vecs == 1 ? 16 : vecs == 4 ? 4 : 8; }

  static HWY_INLINE Vec Zero() { return hn::Zero(Tag()); }
  static HWY_INLINE Vec Set(float x) { return hn::Set(Tag(), x); }
  static HWY_INLINE Vec Load(const float* p) { return hn::Load(Tag(), p); }
  static HWY_INLINE void Store(Vec v, float* p) { hn::Store(v, Tag(), p); }
  static HWY_INLINE Vec LoadUnits(const float* p) { return hn::Load(Tag(), p); }
  static HWY_INLINE Vec Splat(const float* p) { return hn::Set(Tag(), *p); }
  static HWY_INLINE Vec Add(Vec a, Vec b) { return hn::Add(a, b); }
  static HWY_INLINE Vec Sub(Vec a, Vec b) { return hn::Sub(a, b); }
  static HWY_INLINE Vec Mul(Vec a, Vec b) { return hn::Mul(a, b); }
  static HWY_INLINE Vec MulAdd(Vec sum, Vec a, Vec b) { return hn::MulAdd(a, b, sum); }
  static HWY_INLINE Vec MulSub(Vec a, Vec b, Vec c) { return hn::MulSub(a, b, c); }
  static HWY_INLINE Vec Max(Vec a, Vec b) { return hn::Max(a, b); }
  static HWY_INLINE Vec ZeroIfMinusInfinity(Vec v) { return hn::IfThenElseZero(hn::Ne(v, Set(-__builtin_inff())), v); }
  template <size_t kRow>
  static HWY_INLINE void StoreWeights(Vec even, Vec odd, float* weights, size_t key) {
    Store(even, weights + key * kRow);
    Store(odd, weights + (key + 1) * kRow);
  }

  static HWY_INLINE Vec Masked(Vec score, const KeyMask& mask, const int32_t* row, const int32_t* head_bit) {
    const IntTag d;
    const auto rows = hn::Load(d, row);
    const auto heads = hn::And(hn::Load(d, head_bit), hn::Set(d, static_cast<int32_t>(mask.heads)));
    const auto ok = hn::And(hn::And(hn::Ne(heads, hn::Zero(d)), hn::Gt(rows, hn::Set(d, int32_t{mask.row_begin} - 1))),
                            hn::Lt(rows, hn::Set(d, int32_t{mask.row_end})));
    return hn::IfThenElse(hn::RebindMask(Tag(), ok), score, Set(-__builtin_inff()));
  }

  // 2^x for x <= 0 (and a little above) with a relative error below 8e-7; exactly 1 at 0, exactly 0 below -126. Minimax
  // polynomial of degree 5 on [-1/2, 1/2] with p(0) = 1.
  static HWY_INLINE Vec Exp2(Vec x) {
    const IntTag d;
    const Vec whole = hn::Round(hn::Max(x, Set(-127.0f)));
    const Vec rest = hn::Sub(hn::Max(x, Set(-127.0f)), whole);
    Vec p = hn::MulAdd(Set(0.001112550768273673f), rest, Set(0.009666282524684459f));
    p = hn::MulAdd(p, rest, Set(0.055574004733197846f));
    p = hn::MulAdd(p, rest, Set(0.2402235065068621f));
    p = hn::MulAdd(p, rest, Set(0.6931428306083526f));
    p = hn::MulAdd(p, rest, Set(1.0f));
    const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(d, whole), hn::Set(d, 127)));
    const Vec power = hn::Mul(p, hn::BitCast(Tag(), exponent));
    return hn::IfThenElseZero(hn::Ge(x, Set(-126.0f)), power);
  }
};

using FloatSteps = VectorSteps<FloatOps>;

void PackFloat(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  float* const q = static_cast<float*>(block->q);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const float* const query = queries[lane];
    for (size_t d = 0; d < head_dim; ++d) q[d * kLanes + lane] = query == nullptr ? 0.0f : query[d] * sign;
  }
  FloatSteps::ClearState(head_dim, block);
}

HWY_INLINE float Unpack(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

// Per run: keys [16][head_dim], then values [head_dim][16].
void UnpackFloat(KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch) {
  for (size_t r = 0; r < count; ++r) {
    float* const keys = scratch.unpacked + r * 32 * head_dim;
    float* const values = keys + 16 * head_dim;
    const auto* const from_keys = static_cast<const uint16_t*>(runs[r].keys);
    const auto* const from_values = static_cast<const uint16_t*>(runs[r].values);
    for (size_t i = 0; i < 16 * head_dim; ++i) keys[i] = Unpack(from_keys[i]);
    for (size_t d = 0; d < head_dim; ++d) {
      for (size_t i = 0; i < 16; ++i) values[d * 16 + i] = Unpack(from_values[d * kValueLine + i]);
    }
    runs[r].keys = keys;
    runs[r].values = values;
  }
}

void FinishFloat(LaneBlock* block, size_t head_dim, float* const* outs) {
  for (size_t lane = 0; lane < block->lanes; ++lane) {
    const float inverse = block->sum[lane] > 0.0f ? 1.0f / block->sum[lane] : 0.0f;
    for (size_t d = 0; d < head_dim; ++d) outs[lane][d] = block->out[d * kLanes + lane] * inverse;
  }
}

// 64 keys a step: with head_dim 128 their floats are 64 KiB, which leaves room in L2 for everything else.
constexpr AttentionBody MakeFloatBody(const char* name, ExpandFn expand) {
  return {name,        kLanes,  16,      64,    kLanes * sizeof(float), PackFloat, UnpackFloat, FloatSteps::Step,
          FinishFloat, nullptr, nullptr, expand};
}

void FloatExp2(const float* x, size_t n, float* out) {
  alignas(64) float lanes[FloatOps::kN];
  for (size_t i = 0; i < n; i += FloatOps::kN) {
    for (size_t j = 0; j < FloatOps::kN; ++j) lanes[j] = i + j < n ? x[i + j] : 0.0f;
    FloatOps::Store(FloatOps::Exp2(FloatOps::Load(lanes)), lanes);
    for (size_t j = 0; j < FloatOps::kN && i + j < n; ++j) out[i + j] = lanes[j];
  }
}

}  // namespace
}  // namespace damask::kernels
