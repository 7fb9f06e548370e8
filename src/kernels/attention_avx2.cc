// Attention with AVX2: products of pairs of 16-bit integers (vpmaddwd), which with the addition that each of them needs are 1.5
// times as quick as float32's (docs/engineering-notes.md, "AVX2"). Lanes lie side by side, as in attention-inl.h.
//
// A query's numbers are within 2^13 of a scale of its own, keys and values as int16_runs_avx2-inl.h has them: finer than bf16.
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

// Lanes of a block: two vectors, so that the rows of everything that belongs to it lie side by side and stay in the L1 cache.
constexpr size_t kRow = 2 * kVector;

// Packed queries: what the numbers of each lane count in, then pairs [head_dim / 2][kRow].
float* Units(void* q) { return static_cast<float*>(q); }
int32_t* Pairs(void* q) { return static_cast<int32_t*>(q) + kRow; }
constexpr size_t kQueryBytes = kRow * sizeof(int16_t) + kRow * sizeof(float) / 32;  // a block has 32 dimensions or more

__m256 Broadcast(const float* p) { return _mm256_broadcast_ss(p); }
__m256i LoadPairs(const int32_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }

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
  alignas(32) float max[kRow];                // of the step
  alignas(32) float old_factor[kRow];         // of what was accumulated before
  alignas(32) float step_factor[kRow];        // of what the step's integers sum up to
};

constexpr size_t kPairs = 8;  // sixteen dimensions of a head, or keys of a run

// Four rows of pairs, [kPairs][4][2], times columns of pairs, [kPairs][kRow][2].
template <int kVecs>
inline void AddProducts(const int16_t* rows, const int32_t* columns, __m256i (&sums)[4][kVecs]) {
#pragma GCC unroll 2
  for (size_t pair = 0; pair < kPairs; ++pair, rows += 8, columns += kRow) {
    __m256i column[kVecs];
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) column[j] = LoadPairs(columns + j * kVector);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m256i row = BroadcastPair(rows + i * 2);
#pragma GCC unroll 2
      for (int j = 0; j < kVecs; ++j) AddPairs(row, column[j], &sums[i][j]);
    }
  }
}

template <int kVecs>
inline void Clear(__m256i (&sums)[4][kVecs]) {
#pragma GCC unroll 4
  for (auto& row : sums) {
#pragma GCC unroll 2
    for (__m256i& sum : row) sum = _mm256_setzero_si256();
  }
}

// Exponents of four keys from `key` of a run on: scores and what the values' powers add.
template <int kVecs>
void ScoreFour(const KeyRun& run, size_t key, size_t head_dim, const LaneBlock& block, const float* offsets, float* scores,
               float* max) {
  __m256i sums[4][kVecs];
  Clear(sums);
  const int16_t* keys = static_cast<const int16_t*>(run.keys) + key * head_dim;
  const int32_t* queries = Pairs(block.q);
  for (size_t d = 0; d < head_dim; d += 2 * kPairs, keys += 8 * kPairs, queries += kPairs * kRow) {
    AddProducts(keys, queries, sums);
  }
  const float* const key_scales = ScalesOf(run, head_dim)->keys + key;
#pragma GCC unroll 2
  for (int j = 0; j < kVecs; ++j) {
    const size_t lane = j * kVector;
    const __m256 unit = _mm256_load_ps(Units(block.q) + lane);
    __m256 best = _mm256_load_ps(max + lane);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m256 number = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][j]), unit);
      __m256 score = _mm256_fmadd_ps(number, Broadcast(key_scales + i), Broadcast(offsets + i));
      if (run.masks != nullptr) score = Masked(score, run.masks[key + i], block, lane);
      best = _mm256_max_ps(score, best);  // the second where one is NaN
      _mm256_store_ps(scores + i * kRow + lane, score);
    }
    _mm256_store_ps(max + lane, best);
  }
}

template <int kVecs>
void Scores(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, float* scores, StepState* state) {
  for (size_t r = 0; r < count; ++r) {
    for (size_t key = 0; key < kInt16RunKeys; key += 4) {
      const size_t index = r * kInt16RunKeys + key;
      ScoreFour<kVecs>(runs[r], key, head_dim, block, state->offsets + index, scores + index * kRow, state->max);
    }
  }
}

// Takes a step's sum of weights into the block's, and leaves the factors with which outputs follow. A lane that has seen
// nothing keeps the maximum -infinity.
void AddSum(__m256 sum, size_t lane, __m256 scale, StepState* state, LaneBlock* block) {
  const __m256 old_max = _mm256_load_ps(block->max + lane);
  const __m256 step_max = _mm256_load_ps(state->max + lane);
  const __m256 max = _mm256_max_ps(old_max, step_max);
  const __m256 base = ZeroIfMinusInfinity(max);
  const auto factor = [&](__m256 from, float log) {
    const __m256 power = Exp2(_mm256_fmadd_ps(_mm256_sub_ps(from, base), scale, _mm256_set1_ps(log)));
    return _mm256_and_ps(power, _mm256_cmp_ps(from, _mm256_set1_ps(kMinusInfinity), _CMP_NEQ_UQ));
  };
  const __m256 old_factor = factor(old_max, 0.0f);
  const __m256 step_factor = factor(step_max, -kWeightBits);
  _mm256_store_ps(state->old_factor + lane, old_factor);
  _mm256_store_ps(state->step_factor + lane, step_factor);
  _mm256_store_ps(block->max + lane, max);
  const __m256 before = _mm256_mul_ps(_mm256_load_ps(block->sum + lane), old_factor);
  _mm256_store_ps(block->sum + lane, _mm256_fmadd_ps(sum, step_factor, before));
}

// Exponents become weights, pairs of keys side by side.
void Softmax(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch, StepState* state,
             LaneBlock* block) {
  const __m256 scale = _mm256_set1_ps(log2_scale);
  const __m256 unit_log = _mm256_set1_ps(kWeightBits);
  for (size_t lane = 0; lane < block->lanes; lane += kVector) {
    const __m256 step_max = ZeroIfMinusInfinity(_mm256_load_ps(state->max + lane));
    const float* scores = scratch.scores + lane;
    auto* weights = static_cast<__m256i*>(scratch.weights) + lane / kVector;
    // From the largest down: never above 2^kWeightBits, whatever rounding does.
    const auto weight = [&](const float* score) {
      return Exp2(_mm256_fmadd_ps(_mm256_sub_ps(_mm256_load_ps(score), step_max), scale, unit_log));
    };
    __m256 sum_even = _mm256_setzero_ps();
    __m256 sum_odd = _mm256_setzero_ps();
    for (size_t r = 0; r < count; ++r) {
      const float* const inverses = ScalesOf(runs[r], head_dim)->value_inverses;
#pragma GCC unroll 2
      for (size_t key = 0; key < kInt16RunKeys; key += 2, scores += 2 * kRow, weights += kRow / kVector) {
        const __m256 even = weight(scores);
        const __m256 odd = weight(scores + kRow);
        sum_even = _mm256_fmadd_ps(even, Broadcast(inverses + key), sum_even);
        sum_odd = _mm256_fmadd_ps(odd, Broadcast(inverses + key + 1), sum_odd);
        const __m256i high = _mm256_slli_epi32(_mm256_cvtps_epi32(odd), 16);
        _mm256_store_si256(weights, _mm256_or_si256(_mm256_cvtps_epi32(even), high));
      }
    }
    AddSum(_mm256_add_ps(sum_even, sum_odd), lane, scale, state, block);
  }
}

// O^T of four dimensions.
template <int kVecs>
void AddFour(const KeyRun* runs, size_t count, size_t dim, const int32_t* weights, const StepState& state, float* out) {
  __m256i sums[4][kVecs];
  Clear(sums);
  for (size_t r = 0; r < count; ++r, weights += kPairs * kRow) {
    AddProducts(static_cast<const int16_t*>(runs[r].values) + dim * kInt16RunKeys, weights, sums);
  }
#pragma GCC unroll 2
  for (int j = 0; j < kVecs; ++j) {
    const __m256 of_old = _mm256_load_ps(state.old_factor + j * kVector);
    const __m256 of_step = _mm256_load_ps(state.step_factor + j * kVector);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      float* const at = out + i * kRow + j * kVector;
      const __m256 before = _mm256_mul_ps(_mm256_load_ps(at), of_old);
      _mm256_store_ps(at, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i][j]), of_step, before));
    }
  }
}

// What integers cannot carry: a value that is no number reaches all rows, as zero times it does. Keys have their scales for it.
[[gnu::noinline]] void SpreadBroken(const KeyRun& run, size_t head_dim, LaneBlock* block) {
  const auto* const values = static_cast<const int16_t*>(run.values);
  for (size_t i = 0; i < head_dim * kInt16RunKeys; ++i) {
    if (values[i] != kBrokenNumber) continue;
    const size_t dim = i / (4 * kInt16RunKeys) * 4 + i / 2 % 4;
    for (size_t lane = 0; lane < block->lanes; ++lane) block->out[dim * kRow + lane] = __builtin_nanf("");
  }
}

template <int kVecs>
void StepVecs(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
              LaneBlock* block) {
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
  Scores<kVecs>(runs, count, head_dim, *block, scratch.scores, &state);
  Softmax(runs, count, head_dim, log2_scale, scratch, &state, block);
  for (size_t dim = 0; dim < head_dim; dim += 4) {
    AddFour<kVecs>(runs, count, dim, static_cast<const int32_t*>(scratch.weights), state, block->out + dim * kRow);
  }
  for (size_t r = 0; broken && r < count; ++r) {
    if (ScalesOf(runs[r], head_dim)->broken) SpreadBroken(runs[r], head_dim, block);
  }
}

void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch, LaneBlock* block) {
  (block->lanes <= kVector ? StepVecs<1> : StepVecs<2>)(runs, count, head_dim, log2_scale, scratch, block);
}

// What a query's numbers count in; NaN where one of them is NaN or infinite, 0 where there is none or next to nothing.
float UnitOf(const float* query, size_t head_dim) {
  if (query == nullptr) return 0.0f;
  const float max = LargestMagnitude(query, head_dim);
  if (!(max < __builtin_inff())) return __builtin_nanf("");
  return max < 1e-30f ? 0.0f : max * (1.0f / kQueryLimit);
}

void Pack(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  float* const units = Units(block->q);
  for (size_t lane = 0; lane < kRow; lane += kVector) {
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
      int32_t* const to = Pairs(block->q) + d / 2 * kRow + lane;
      for (size_t i = 0; i < kVector; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(to + kRoundedPair[i] * kRow), rows[i]);
    }
  }
  for (size_t lane = 0; lane < kRow; ++lane) {
    block->max[lane] = kMinusInfinity;
    block->sum[lane] = 0.0f;
  }
  std::memset(block->out, 0, head_dim * kRow * sizeof(float));
}

void Finish(LaneBlock* block, size_t head_dim, float* const* outs) {
  for (size_t lane = 0; lane < block->lanes; lane += kVector) {
    const __m256 sum = _mm256_load_ps(block->sum + lane);
    const __m256 some = _mm256_cmp_ps(sum, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    const __m256 inverse = _mm256_and_ps(_mm256_div_ps(_mm256_set1_ps(1.0f), sum), some);
    for (size_t d = 0; d < head_dim; d += kVector) {
      __m256i rows[kVector];
      for (size_t i = 0; i < kVector; ++i) {
        rows[i] = _mm256_castps_si256(_mm256_mul_ps(_mm256_load_ps(block->out + (d + i) * kRow + lane), inverse));
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
  static constexpr AttentionBody kBody = {"avx2 int16", kRow, kInt16RunKeys, kInt16StepKeys, kQueryBytes, Pack,
                                          UnpackInt16,  Step, Finish,        nullptr,        nullptr,     ExpandAvx2};
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
