// Attention with AVX2 for at most 8 lanes, above all decode: one row of a group of up to 8 query heads. With lanes side by side
// most of a vector would idle, and numbers would be unpacked for few products; here a vector holds 8 dimensions of a key, or 8
// keys of a dimension, and what belongs to a lane is summed up across it, eight results at a time. float32 throughout.
//
// Keys and values are read once from memory for all lanes and fetched ahead, as in attention_fewlanes.cc.
#include <immintrin.h>

#include <cstring>

#include "kernels/attention_avx2-inl.h"
#include "kernels/attention_steps.h"

namespace damask::kernels {
namespace {

constexpr size_t kMaxLanes = 8;
constexpr size_t kRunKeys = 16;
constexpr size_t kStepKeys = 128;

// A state: max [lanes], sum [lanes], O [lanes][head_dim]. Packed queries: [lanes][head_dim] floats in the order of Widen.
// Scores and weights: [lanes][kStepKeys].

// Sixteen bf16 numbers as floats: first those at 0-3 and 8-11, then those at 4-7 and 12-15.
struct Sixteen {
  __m256 first;
  __m256 second;
};
[[gnu::always_inline]] inline Sixteen Widen(const uint16_t* bf16) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16));
  return {_mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), bits)),
          _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), bits))};
}
// The same order for sixteen floats.
Sixteen Reorder(__m256 low, __m256 high) {
  return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

// The sums over each of 8 vectors.
[[gnu::always_inline]] inline __m256 SumsOf(const __m256 (&v)[8]) {
  __m256 twos[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    twos[i] = _mm256_add_ps(_mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]));
  }
  __m256 fours[2];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    fours[i] = _mm256_add_ps(_mm256_shuffle_ps(twos[2 * i], twos[2 * i + 1], 0x44),
                             _mm256_shuffle_ps(twos[2 * i], twos[2 * i + 1], 0xee));
  }
  const Sixteen halves = Reorder(fours[0], fours[1]);
  return _mm256_add_ps(halves.first, halves.second);
}

float Largest(__m256 v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

float Sum(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

float Power(float x) { return _mm256_cvtss_f32(Exp2(_mm256_set1_ps(x))); }

// kFew lanes share every load of a key or value; eight sums are kept at a time.
template <size_t kFew>
struct Few {
  static constexpr size_t kAtOnce = 8 / kFew;  // keys, or dimensions

  // Sums of kAtOnce rows of sixteen numbers with a column of each lane, `count` times; rows are row_stride numbers apart.
  // Gives [lane][row].
  template <class Row>
  [[gnu::always_inline]] static inline __m256 Multiply(size_t count, const float* columns, size_t column_stride,
                                                       const Row& row) {
    __m256 sums[8];
#pragma GCC unroll 8
    for (auto& sum : sums) sum = _mm256_setzero_ps();
    for (size_t i = 0; i < count; ++i) {
      Sixteen rows[kAtOnce];
#pragma GCC unroll 8
      for (size_t r = 0; r < kAtOnce; ++r) rows[r] = Widen(row(i, r));
#pragma GCC unroll 8
      for (size_t lane = 0; lane < kFew; ++lane) {
        const float* const column = columns + lane * column_stride + i * 16;
        const __m256 first = _mm256_load_ps(column);
        const __m256 second = _mm256_load_ps(column + 8);
#pragma GCC unroll 8
        for (size_t r = 0; r < kAtOnce; ++r) {
          __m256& sum = sums[lane * kAtOnce + r];
          sum = _mm256_fmadd_ps(rows[r].first, first, sum);
          sum = _mm256_fmadd_ps(rows[r].second, second, sum);
        }
      }
    }
    return SumsOf(sums);
  }

  static void MaskRun(const KeyRun& run, const LaneBlock& block, float* scores) {
    for (size_t lane = 0; lane < block.lanes; ++lane) {
      for (size_t key = 0; key < kRunKeys; ++key) {
        const KeyMask& mask = run.masks[key];
        const bool allowed = (mask.heads & static_cast<uint32_t>(block.head_bit[lane])) != 0 &&
                             block.row[lane] >= mask.row_begin && block.row[lane] < mask.row_end;
        if (!allowed) scores[lane * kStepKeys + key] = kMinusInfinity;
      }
    }
  }

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, float* scores) {
    const auto* const q = static_cast<const float*>(block.q);
    for (size_t r = 0; r < count; ++r, scores += kRunKeys) {
      const auto* keys = static_cast<const uint16_t*>(runs[r].keys);
      for (size_t key = 0; key < kRunKeys; key += kAtOnce, keys += kAtOnce * head_dim) {
        const auto row = [&](size_t i, size_t at) { return keys + at * head_dim + i * 16; };
        // The values of a page lie as far behind as its keys are long: each is on its way when its turn comes.
        for (size_t i = 0; i < kAtOnce * head_dim; i += kCacheLine / sizeof(uint16_t)) {
          _mm_prefetch(reinterpret_cast<const char*>(keys + kPageTokens * head_dim + i), _MM_HINT_T1);
        }
        alignas(32) float sums[8];
        _mm256_store_ps(sums, Multiply(head_dim / 16, q, head_dim, row));
        for (size_t lane = 0; lane < kFew; ++lane) {
          std::memcpy(scores + lane * kStepKeys + key, sums + lane * kAtOnce, kAtOnce * sizeof(float));
        }
      }
      if (runs[r].masks != nullptr) MaskRun(runs[r], block, scores);
    }
  }

  // A lane's scores become weights, in the order of Widen. Gives the factor of what was accumulated before.
  static float Softmax(size_t keys, float log2_scale, float* scores, float* lane_max, float* lane_sum) {
    __m256 best = _mm256_set1_ps(*lane_max);
    for (size_t key = 0; key < keys; key += 8) best = _mm256_max_ps(_mm256_load_ps(scores + key), best);
    const float max = Largest(best);
    const __m256 scale = _mm256_set1_ps(log2_scale);
    const __m256 base = ZeroIfMinusInfinity(_mm256_set1_ps(max));
    const auto weight = [&](size_t key) {
      const __m256 score = _mm256_load_ps(scores + key);
      const __m256 used = _mm256_cmp_ps(score, _mm256_set1_ps(kMinusInfinity), _CMP_NEQ_UQ);
      return _mm256_and_ps(Exp2(_mm256_mul_ps(_mm256_sub_ps(score, base), scale)), used);
    };
    __m256 sum = _mm256_setzero_ps();
    for (size_t key = 0; key < keys; key += 16) {
      const __m256 low = weight(key);
      const __m256 high = weight(key + 8);
      sum = _mm256_add_ps(sum, _mm256_add_ps(low, high));
      const Sixteen weights = Reorder(low, high);
      _mm256_store_ps(scores + key, weights.first);
      _mm256_store_ps(scores + key + 8, weights.second);
    }
    const float factor = *lane_max == kMinusInfinity ? 0.0f : Power((*lane_max - max) * log2_scale);
    *lane_max = max;
    *lane_sum = *lane_sum * factor + Sum(sum);
    return factor;
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const float* factors, const StepScratch& scratch,
                     float* out) {
    const size_t share = kPageTokens * sizeof(uint16_t) * kAtOnce;  // of the next keys, per kAtOnce of head_dim dimensions
    for (size_t dim = 0; dim < head_dim; dim += kAtOnce) {
      for (size_t page = 0; page < scratch.fetch->num_pages; ++page) {
        const auto* const from = static_cast<const char*>(scratch.fetch->pages[page]) + dim / kAtOnce * share;
        for (size_t i = 0; i < share; i += kCacheLine) _mm_prefetch(from + i, _MM_HINT_T1);
      }
      const auto row = [&](size_t r, size_t at) {
        return static_cast<const uint16_t*>(runs[r].values) + (dim + at) * kValueLine;
      };
      alignas(32) float sums[8];
      _mm256_store_ps(sums, Multiply(count, scratch.scores, kStepKeys, row));
      for (size_t lane = 0; lane < kFew; ++lane) {
        float* const at = out + lane * head_dim + dim;
        for (size_t i = 0; i < kAtOnce; ++i) at[i] = at[i] * factors[lane] + sums[lane * kAtOnce + i];
      }
    }
  }

  static void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
                   LaneBlock* block) {
    Scores(runs, count, head_dim, *block, scratch.scores);
    float factors[kFew];
    for (size_t lane = 0; lane < kFew; ++lane) {
      factors[lane] =
          Softmax(count * kRunKeys, log2_scale, scratch.scores + lane * kStepKeys, block->max + lane, block->sum + lane);
    }
    Values(runs, count, head_dim, factors, scratch, block->out);
  }
};

void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch, LaneBlock* block) {
  const auto step = block->lanes == 1   ? Few<1>::Step
                    : block->lanes == 2 ? Few<2>::Step
                    : block->lanes <= 4 ? Few<4>::Step
                                        : Few<8>::Step;
  step(runs, count, head_dim, log2_scale, scratch, block);
}

void Pack(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  auto* const q = static_cast<float*>(block->q);
  const __m256 signs = _mm256_set1_ps(sign);
  for (size_t lane = 0; lane < kMaxLanes; ++lane) {
    block->max[lane] = kMinusInfinity;
    for (size_t d = 0; d < head_dim; d += 16) {
      Sixteen numbers = {_mm256_setzero_ps(), _mm256_setzero_ps()};
      if (queries[lane] != nullptr) {
        numbers = Reorder(_mm256_mul_ps(_mm256_loadu_ps(queries[lane] + d), signs),
                          _mm256_mul_ps(_mm256_loadu_ps(queries[lane] + d + 8), signs));
      }
      _mm256_store_ps(q + lane * head_dim + d, numbers.first);
      _mm256_store_ps(q + lane * head_dim + d + 8, numbers.second);
    }
  }
  std::memset(block->sum, 0, kLanes * sizeof(float));
  std::memset(block->out, 0, kMaxLanes * head_dim * sizeof(float));
}

void Finish(LaneBlock* block, size_t head_dim, float* const* outs) {
  for (size_t lane = 0; lane < block->lanes; ++lane) {
    const float inverse = block->sum[lane] != 0.0f ? 1.0f / block->sum[lane] : 0.0f;
    for (size_t d = 0; d < head_dim; ++d) outs[lane][d] = block->out[lane * head_dim + d] * inverse;
  }
}

}  // namespace

const AttentionBody& FewLanesAvx2Body() {
  static constexpr AttentionBody kBody = {
      "avx2 few lanes", kMaxLanes, kRunKeys, kStepKeys, kMaxLanes * sizeof(float), Pack, nullptr, Step,
      Finish,           nullptr,   nullptr,  ExpandAvx2};
  return kBody;
}

}  // namespace damask::kernels
