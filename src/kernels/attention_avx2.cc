// Attention with AVX2: products of pairs of 16-bit integers (vpmaddwd), which with the addition that each of them needs are 1.5
// times as quick as float32's (docs/benchmarks.md, "With AVX2 only"). Lanes lie side by side, as in attention-inl.h.
//
// A query's numbers are within 2^12 of a scale of its own, keys and values as int16_runs_avx2-inl.h has them: finer than bf16.
// Values of a step are summed up as integers, so their powers of two have to go somewhere else: into the weights. A weight is
// 2^(score + log2 of the value's power), in units of 2^-12 of the largest such weight that a lane has in the step; what a lane
// keeps is the largest of those exponents. The sum of the weights themselves stays in float32.
#include <immintrin.h>

#include <cstring>

#include "kernels/attention_avx2-inl.h"
#include "kernels/int16_runs_avx2-inl.h"
#include "kernels/pairs_avx2-inl.h"

namespace damask::kernels {
namespace {

constexpr float kQueryLimit = 1 << kQueryBits;

// Packed queries: what the numbers of each lane count in, then pairs [head_dim / 2][kLanes].
float* Units(void* q) { return static_cast<float*>(q); }
int32_t* Pairs(void* q) { return static_cast<int32_t*>(q) + kLanes; }
constexpr size_t kQueryBytes = kLanes * sizeof(int16_t) + kLanes * sizeof(float) / 32;  // a block has 32 dimensions or more

__m256 Broadcast(const float* p) { return _mm256_broadcast_ss(p); }
__m256i LoadPairs(const int32_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
__m256i BroadcastPair(const int16_t* pair) {
  int32_t both;
  std::memcpy(&both, pair, sizeof(both));
  return _mm256_set1_epi32(both);
}

__m256 Masked(__m256 score, const KeyMask& mask, const LaneBlock& block, size_t lane) {
  const __m256i rows = LoadPairs(block.row + lane);
  const __m256i heads = _mm256_and_si256(LoadPairs(block.head_bit + lane), _mm256_set1_epi32(static_cast<int>(mask.heads)));
  const __m256i not_head = _mm256_cmpeq_epi32(heads, _mm256_setzero_si256());
  const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(mask.row_begin), rows);
  const __m256i behind = _mm256_cmpgt_epi32(rows, _mm256_set1_epi32(int{mask.row_end} - 1));
  const __m256i out = _mm256_or_si256(not_head, _mm256_or_si256(before, behind));
  return _mm256_blendv_ps(score, _mm256_set1_ps(kMinusInfinity), _mm256_castsi256_ps(out));
}

// What a step of one lane block works with, beside the scratch.
struct StepState {
  alignas(32) float offsets[kInt16StepKeys];  // log2 of the values' powers, in the unit of scores
  alignas(32) float max[kLanes];              // of the step
  alignas(32) float old_factor[kLanes];       // of what was accumulated before
  alignas(32) float step_factor[kLanes];      // of what the step's integers sum up to
};

// Sums of kKeys keys, head_dim / 2 pairs each, with kVecs vectors of lanes.
template <int kVecs, int kKeys>
void MultiplyKeys(const int16_t* keys, size_t head_dim, const int32_t* q, __m256i (&sums)[kKeys][kVecs]) {
#pragma GCC unroll 8
  for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) sums[i][j] = _mm256_setzero_si256();
  }
  for (size_t d = 0; d < head_dim; d += 2, q += kLanes) {
    __m256i queries[kVecs];
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) queries[j] = LoadPairs(q + j * kVector);
#pragma GCC unroll 8
    for (int i = 0; i < kKeys; ++i) {
      const __m256i key = BroadcastPair(keys + i * head_dim + d);
#pragma GCC unroll 2
      for (int j = 0; j < kVecs; ++j) AddPairs(key, queries[j], &sums[i][j]);
    }
  }
}

// Exponents of kKeys keys from `key` of a run on: scores and what the values' powers add.
template <int kVecs, int kKeys>
void ScoreKeys(const KeyRun& run, size_t key, size_t head_dim, const LaneBlock& block, size_t lane, const float* offsets,
               float* scores, float* max) {
  __m256i sums[kKeys][kVecs];
  MultiplyKeys<kVecs, kKeys>(static_cast<const int16_t*>(run.keys) + key * head_dim, head_dim, Pairs(block.q) + lane, sums);
  const float* const key_scales = ScalesOf(run, head_dim)->keys + key;
#pragma GCC unroll 2
  for (int j = 0; j < kVecs; ++j) {
    const size_t at = lane + j * kVector;
    const __m256 unit = _mm256_load_ps(Units(block.q) + at);
    __m256 best = _mm256_load_ps(max + at);
#pragma GCC unroll 8
    for (int i = 0; i < kKeys; ++i) {
      const __m256 number = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][j]), unit);
      __m256 score = _mm256_fmadd_ps(number, Broadcast(key_scales + i), Broadcast(offsets + i));
      if (run.masks != nullptr) score = Masked(score, run.masks[key + i], block, at);
      best = _mm256_max_ps(score, best);  // the second where one is NaN
      _mm256_store_ps(scores + i * kLanes + at, score);
    }
    _mm256_store_ps(max + at, best);
  }
}

template <int kVecs>
void ScoreRuns(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, size_t lane, float* scores,
               StepState* state) {
  constexpr int kKeys = kVecs == 1 ? 8 : 4;  // 8 sums
  for (size_t r = 0; r < count; ++r) {
    for (size_t key = 0; key < kInt16RunKeys; key += kKeys) {
      const size_t index = r * kInt16RunKeys + key;
      ScoreKeys<kVecs, kKeys>(runs[r], key, head_dim, block, lane, state->offsets + index, scores + index * kLanes, state->max);
    }
  }
}

// Exponents become weights, pairs of keys side by side, and the block's maxima and sums those after the step.
void Softmax(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch, StepState* state,
             LaneBlock* block) {
  const __m256 scale = _mm256_set1_ps(log2_scale);
  const __m256 unit_log = _mm256_set1_ps(kWeightBits);
  for (size_t lane = 0; lane < block->lanes; lane += kVector) {
    const __m256 step_max = ZeroIfMinusInfinity(_mm256_load_ps(state->max + lane));
    const float* scores = scratch.scores + lane;
    auto* weights = static_cast<__m256i*>(scratch.weights) + lane / kVector;
    const auto weight = [&](const float* score) {
      return Exp2(_mm256_fmadd_ps(_mm256_sub_ps(_mm256_load_ps(score), step_max), scale, unit_log));
    };
    __m256 sum_even = _mm256_setzero_ps();
    __m256 sum_odd = _mm256_setzero_ps();
    for (size_t r = 0; r < count; ++r) {
      const float* const inverses = ScalesOf(runs[r], head_dim)->value_inverses;
#pragma GCC unroll 2
      for (size_t key = 0; key < kInt16RunKeys; key += 2, scores += 2 * kLanes, weights += kLanes / kVector) {
        const __m256 even = weight(scores);
        const __m256 odd = weight(scores + kLanes);
        sum_even = _mm256_fmadd_ps(even, Broadcast(inverses + key), sum_even);
        sum_odd = _mm256_fmadd_ps(odd, Broadcast(inverses + key + 1), sum_odd);
        const __m256i high = _mm256_slli_epi32(_mm256_cvtps_epi32(odd), 16);
        _mm256_store_si256(weights, _mm256_or_si256(_mm256_cvtps_epi32(even), high));
      }
    }
    const __m256 old_max = _mm256_load_ps(block->max + lane);
    const __m256 max = _mm256_max_ps(old_max, _mm256_load_ps(state->max + lane));
    const __m256 base = ZeroIfMinusInfinity(max);
    const auto factor = [&](__m256 from, __m256 log) {
      const __m256 power = Exp2(_mm256_fmadd_ps(_mm256_sub_ps(from, base), scale, log));
      return _mm256_and_ps(power, _mm256_cmp_ps(from, _mm256_set1_ps(kMinusInfinity), _CMP_NEQ_UQ));
    };
    const __m256 old_factor = factor(old_max, _mm256_setzero_ps());
    const __m256 step_factor = factor(_mm256_load_ps(state->max + lane), _mm256_set1_ps(-kWeightBits));
    _mm256_store_ps(state->old_factor + lane, old_factor);
    _mm256_store_ps(state->step_factor + lane, step_factor);
    _mm256_store_ps(block->max + lane, max);
    const __m256 before = _mm256_mul_ps(_mm256_load_ps(block->sum + lane), old_factor);
    _mm256_store_ps(block->sum + lane, _mm256_fmadd_ps(_mm256_add_ps(sum_even, sum_odd), step_factor, before));
  }
}

// O^T of kDims dimensions and kVecs vectors of lanes.
template <int kVecs, int kDims>
void AddValues(const KeyRun* runs, size_t count, size_t dim, const int32_t* weights, const float* old_factor,
               const float* step_factor, float* out) {
  __m256i sums[kDims][kVecs];
#pragma GCC unroll 8
  for (int i = 0; i < kDims; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) sums[i][j] = _mm256_setzero_si256();
  }
  for (size_t r = 0; r < count; ++r) {
    const int16_t* const values = static_cast<const int16_t*>(runs[r].values) + dim * kInt16RunKeys;
#pragma GCC unroll 2
    for (size_t pair = 0; pair < kInt16RunKeys / 2; ++pair, weights += kLanes) {
      __m256i w[kVecs];
#pragma GCC unroll 2
      for (int j = 0; j < kVecs; ++j) w[j] = LoadPairs(weights + j * kVector);
#pragma GCC unroll 8
      for (int i = 0; i < kDims; ++i) {
        const __m256i value = BroadcastPair(values + i * kInt16RunKeys + pair * 2);
#pragma GCC unroll 2
        for (int j = 0; j < kVecs; ++j) AddPairs(value, w[j], &sums[i][j]);
      }
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < kVecs; ++j) {
    const __m256 of_old = _mm256_load_ps(old_factor + j * kVector);
    const __m256 of_step = _mm256_load_ps(step_factor + j * kVector);
#pragma GCC unroll 8
    for (int i = 0; i < kDims; ++i) {
      float* const at = out + i * kLanes + j * kVector;
      const __m256 before = _mm256_mul_ps(_mm256_load_ps(at), of_old);
      _mm256_store_ps(at, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i][j]), of_step, before));
    }
  }
}

template <int kVecs>
void AddRuns(const KeyRun* runs, size_t count, size_t head_dim, size_t lane, const StepScratch& scratch, const StepState& state,
             LaneBlock* block) {
  constexpr int kDims = kVecs == 1 ? 8 : 4;
  const int32_t* const weights = static_cast<const int32_t*>(scratch.weights) + lane;
  for (size_t dim = 0; dim < head_dim; dim += kDims) {
    AddValues<kVecs, kDims>(runs, count, dim, weights, state.old_factor + lane, state.step_factor + lane,
                            block->out + dim * kLanes + lane);
  }
}

// Calls body.template operator()<vectors>(lane) for pairs of vectors of lanes, and for a last one.
template <class Body>
void ForLanes(size_t lanes, const Body& body) {
  size_t lane = 0;
  for (; lane + kVector < lanes; lane += 2 * kVector) body.template operator()<2>(lane);
  if (lane < lanes) body.template operator()<1>(lane);
}

// What integers cannot carry: a value that is no number reaches all rows, as zero times it does. Keys have their scales for it.
[[gnu::noinline]] void SpreadBroken(const KeyRun& run, size_t head_dim, LaneBlock* block) {
  for (size_t i = 0; i < head_dim * kInt16RunKeys; ++i) {
    if (static_cast<const int16_t*>(run.values)[i] != kBrokenNumber) continue;
    float* const out = block->out + i / kInt16RunKeys * kLanes;
    for (size_t lane = 0; lane < block->lanes; ++lane) out[lane] = __builtin_nanf("");
  }
}

void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch, LaneBlock* block) {
  StepState state;
  const __m256 inverse_scale = _mm256_set1_ps(1.0f / log2_scale);
  bool broken = false;
  for (size_t r = 0; r < count; ++r) {
    const RunScales& scales = *ScalesOf(runs[r], head_dim);
    broken |= scales.broken;
    for (size_t key = 0; key < kInt16RunKeys; key += kVector) {
      _mm256_store_ps(state.offsets + r * kInt16RunKeys + key,
                      _mm256_mul_ps(_mm256_load_ps(scales.value_logs + key), inverse_scale));
    }
  }
  for (float& max : state.max) max = kMinusInfinity;
  ForLanes(block->lanes,
           [&]<int kVecs>(size_t lane) { ScoreRuns<kVecs>(runs, count, head_dim, *block, lane, scratch.scores, &state); });
  Softmax(runs, count, head_dim, log2_scale, scratch, &state, block);
  ForLanes(block->lanes, [&]<int kVecs>(size_t lane) { AddRuns<kVecs>(runs, count, head_dim, lane, scratch, state, block); });
  for (size_t r = 0; broken && r < count; ++r) {
    if (ScalesOf(runs[r], head_dim)->broken) SpreadBroken(runs[r], head_dim, block);
  }
}

// What a query's numbers count in; NaN where one of them is NaN or infinite, 0 where there is none or next to nothing.
float UnitOf(const float* query, size_t head_dim) {
  if (query == nullptr) return 0.0f;
  // As integers the bits of |x| have the order of the numbers, with NaN above all.
  __m256i largest = _mm256_setzero_si256();
  for (size_t d = 0; d < head_dim; d += kVector) {
    const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(query + d));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
  }
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  const float max = _mm_cvtss_f32(_mm_castsi128_ps(half));
  if (!(max < __builtin_inff())) return __builtin_nanf("");
  return max < 1e-30f ? 0.0f : max * (1.0f / kQueryLimit);
}

void Pack(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  float* const units = Units(block->q);
  for (size_t lane = 0; lane < kLanes; lane += kVector) {
    __m256 inverse[kVector];
    for (size_t i = 0; i < kVector; ++i) {
      units[lane + i] = UnitOf(queries[lane + i], head_dim);
      inverse[i] = _mm256_set1_ps(units[lane + i] > 0.0f ? sign / units[lane + i] : 0.0f);
    }
    for (size_t d = 0; d < head_dim; d += 16) {
      __m256i rows[kVector];
      for (size_t i = 0; i < kVector; ++i) {
        rows[i] = units[lane + i] > 0.0f ? RoundSixteen(queries[lane + i] + d, inverse[i]) : _mm256_setzero_si256();
      }
      Transpose8(rows);
      int32_t* const to = Pairs(block->q) + d / 2 * kLanes + lane;
      for (size_t i = 0; i < kVector; ++i)
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + kRoundedPair[i] * kLanes), rows[i]);
    }
  }
  for (size_t lane = 0; lane < kLanes; ++lane) {
    block->max[lane] = kMinusInfinity;
    block->sum[lane] = 0.0f;
  }
  std::memset(block->out, 0, head_dim * kLanes * sizeof(float));
}

void Finish(LaneBlock* block, size_t head_dim, float* const* outs) {
  for (size_t lane = 0; lane < block->lanes; lane += kVector) {
    const __m256 sum = _mm256_load_ps(block->sum + lane);
    const __m256 some = _mm256_cmp_ps(sum, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    const __m256 inverse = _mm256_and_ps(_mm256_div_ps(_mm256_set1_ps(1.0f), sum), some);
    for (size_t d = 0; d < head_dim; d += kVector) {
      __m256i rows[kVector];
      for (size_t i = 0; i < kVector; ++i) {
        rows[i] = _mm256_castps_si256(_mm256_mul_ps(_mm256_load_ps(block->out + (d + i) * kLanes + lane), inverse));
      }
      Transpose8(rows);
      for (size_t i = 0; i < kVector && lane + i < block->lanes; ++i) {
        _mm256_storeu_ps(outs[lane + i] + d, _mm256_castsi256_ps(rows[i]));
      }
    }
  }
}

}  // namespace

const AttentionBody& Avx2Body() {
  static constexpr AttentionBody kBody = {"avx2 int16", kLanes, kInt16RunKeys, kInt16StepKeys, kQueryBytes, Pack,
                                          UnpackInt16,  Step,   Finish,        nullptr,        nullptr,     ExpandAvx2};
  return kBody;
}

void Avx2Exp2(const float* x, size_t n, float* out) {
  alignas(32) float lanes[kVector];
  for (size_t i = 0; i < n; i += kVector) {
    for (size_t j = 0; j < kVector; ++j) lanes[j] = i + j < n ? x[i + j] : 0.0f;
    _mm256_store_ps(lanes, Exp2(_mm256_load_ps(lanes)));
    for (size_t j = 0; j < kVector && i + j < n; ++j) out[i + j] = lanes[j];
  }
}

}  // namespace damask::kernels
