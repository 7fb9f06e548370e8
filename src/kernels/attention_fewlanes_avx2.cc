// Attention with AVX2 for at most 8 lanes, above all decode: one row of a group of up to 8 query heads. With lanes side by side
// most of a vector would idle, and numbers would be unpacked for few products; here a vector holds 8 dimensions of a key, or 8
// keys of a dimension, and what belongs to a lane is summed up across it, eight results at a time. float32 throughout, over
// bf16 pages and over q8 pages, whose numbers are used as they lie.
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

// A state: max [lanes], sum [lanes], O [lanes][head_dim]. Packed queries: [lanes][head_dim] floats, sixteen by sixteen in the
// order of the pages' Order(). Scores and weights: [lanes][kStepKeys].

struct Sixteen {
  __m256 first;
  __m256 second;
};

Sixteen Halves(__m256 low, __m256 high) {
  return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

// Keys and values of a run; the weights that meet its values.
struct Bf16Pages {
  using Number = uint16_t;

  // First those at 0-3 and 8-11, then those at 4-7 and 12-15: so they come out of one instruction each.
  static Sixteen Order(__m256 low, __m256 high) { return Halves(low, high); }
  [[gnu::always_inline]] static inline Sixteen Widen(const Number* bf16) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16));
    return {_mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), bits)),
            _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), bits))};
  }
  // Dimensions 16 i and on of key `key`.
  [[gnu::always_inline]] static inline Sixteen Key(const KeyRun& run, size_t key, size_t i, size_t head_dim) {
    return Widen(static_cast<const Number*>(run.keys) + key * head_dim + i * 16);
  }
  static constexpr size_t kGroup = 256;  // dimensions whose values meet the same weights
  static const float* Weights(const KeyRun* /*runs*/, size_t /*count*/, size_t /*lanes*/, size_t /*dim*/, const float* weights,
                              float* /*scaled*/) {
    return weights;
  }
};

struct Q8Pages {
  using Number = int8_t;

  static Sixteen Order(__m256 low, __m256 high) { return {low, high}; }
  [[gnu::always_inline]] static inline Sixteen Widen(const Number* numbers) {
    const auto eight = [](const Number* from) {
      return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
    };
    return {eight(numbers), eight(numbers + 8)};
  }
  [[gnu::always_inline]] static inline __m256 Scale(uint16_t bf16) {
    return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(static_cast<uint32_t>(bf16) << 16)));
  }
  [[gnu::always_inline]] static inline Sixteen Key(const KeyRun& run, size_t key, size_t i, size_t head_dim) {
    const Sixteen numbers = Widen(static_cast<const Number*>(run.keys) + key * head_dim + i * 16);
    const size_t groups = (head_dim + kGroup - 1) / kGroup;
    const __m256 scale = Scale(run.key_scales[key * groups + i * 16 / kGroup]);
    return {_mm256_mul_ps(numbers.first, scale), _mm256_mul_ps(numbers.second, scale)};
  }
  static constexpr size_t kGroup = 32;
  static constexpr size_t kPageSlots = 64;  // from the value scales of one group to the next
  // The weights times the scales of the group of values that `dim` begins.
  static const float* Weights(const KeyRun* runs, size_t count, size_t lanes, size_t dim, const float* weights, float* scaled) {
    for (size_t r = 0; r < count; ++r) {
      const uint16_t* const group = runs[r].value_scales + dim / kGroup * kPageSlots;
      for (size_t half = 0; half < 2; ++half) {
        const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(group + half * 8));
        const __m256 scales = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
        const size_t at = r * kRunKeys + half * 8;
        for (size_t lane = 0; lane < lanes; ++lane) {
          const size_t index = lane * kStepKeys + at;
          _mm256_store_ps(scaled + index, _mm256_mul_ps(_mm256_load_ps(weights + index), scales));
        }
      }
    }
    return scaled;
  }
};

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
  const Sixteen halves = Halves(fours[0], fours[1]);
  return _mm256_add_ps(halves.first, halves.second);
}

float Largest(__m256 v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

float Power(float x) { return _mm256_cvtss_f32(Exp2(_mm256_set1_ps(x))); }

// kFew lanes share every load of a key or value; eight sums are kept at a time.
template <class Pages, size_t kFew>
struct Few {
  using Number = typename Pages::Number;
  static constexpr size_t kAtOnce = 8 / kFew;  // keys, or dimensions

  // Sums of kAtOnce rows, of `count` times sixteen numbers that row(i, r) gives, times a column of each lane: [lane][row].
  template <class Row>
  [[gnu::always_inline]] static inline __m256 Multiply(size_t count, const float* columns, size_t column_stride,
                                                       const Row& row) {
    __m256 sums[8];
#pragma GCC unroll 8
    for (auto& sum : sums) sum = _mm256_setzero_ps();
    for (size_t i = 0; i < count; ++i) {
      Sixteen rows[kAtOnce];
#pragma GCC unroll 8
      for (size_t r = 0; r < kAtOnce; ++r) rows[r] = row(i, r);
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

  // What a few keys ask of the values of their run, of which two share the lines: a share of them.
  [[gnu::always_inline]] static inline void FetchValues(const KeyRun& run, size_t key, size_t head_dim) {
    constexpr size_t kSecond = kRunKeys * sizeof(Number);  // where the second of the two begins
    const auto* lines = static_cast<const char*>(run.values);
    const size_t half = kRunKeys * sizeof(Number) * head_dim;
    if ((reinterpret_cast<uintptr_t>(lines) & kSecond) != 0) lines += half - kSecond;
    const size_t share = half * kAtOnce / kRunKeys;
    for (size_t i = 0; i < share; i += kCacheLine) {
      _mm_prefetch(lines + key / kAtOnce * share + i, _MM_HINT_T1);
    }
  }

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, float* scores) {
    const auto* const q = static_cast<const float*>(block.q);
    for (size_t r = 0; r < count; ++r, scores += kRunKeys) {
      for (size_t key = 0; key < kRunKeys; key += kAtOnce) {
        FetchValues(runs[r], key, head_dim);
        const auto row = [&](size_t i, size_t at) { return Pages::Key(runs[r], key + at, i, head_dim); };
        alignas(32) float sums[8];
        _mm256_store_ps(sums, Multiply(head_dim / 16, q, head_dim, row));
        for (size_t lane = 0; lane < kFew; ++lane) {
          std::memcpy(scores + lane * kStepKeys + key, sums + lane * kAtOnce, kAtOnce * sizeof(float));
        }
      }
      if (runs[r].masks != nullptr) MaskRun(runs[r], block, scores);
    }
  }

  // A lane's scores become weights, in the pages' order. Gives the factor of what was accumulated before.
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
      const Sixteen weights = Pages::Order(low, high);
      _mm256_store_ps(scores + key, weights.first);
      _mm256_store_ps(scores + key + 8, weights.second);
    }
    const float factor = *lane_max == kMinusInfinity ? 0.0f : Power((*lane_max - max) * log2_scale);
    *lane_max = max;
    *lane_sum = *lane_sum * factor + Sum(sum);
    return factor;
  }

  // What a few dimensions of the values ask of the next pages: a share of their keys, which are the first half of a page.
  [[gnu::always_inline]] static inline void FetchKeys(const PageFetch& fetch, size_t dim, size_t head_dim) {
    const size_t lines = fetch.page_bytes / 2 / kCacheLine;
    const size_t share = (lines * kAtOnce + head_dim - 1) / head_dim;
    const size_t first = dim / kAtOnce * share;
    for (size_t page = 0; page < fetch.num_pages; ++page) {
      const auto* const from = static_cast<const char*>(fetch.pages[page]);
      for (size_t line = first; line < first + share && line < lines; ++line) {
        _mm_prefetch(from + line * kCacheLine, _MM_HINT_T1);
      }
    }
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const float* factors, const StepScratch& scratch,
                     float* out) {
    alignas(32) float scaled[kFew * kStepKeys];
    const float* weights = nullptr;
    for (size_t dim = 0; dim < head_dim; dim += kAtOnce) {
      if (dim % Pages::kGroup == 0) weights = Pages::Weights(runs, count, kFew, dim, scratch.scores, scaled);
      FetchKeys(*scratch.fetch, dim, head_dim);
      const auto row = [&](size_t r, size_t at) {
        return Pages::Widen(static_cast<const Number*>(runs[r].values) + (dim + at) * kValueLine);
      };
      alignas(32) float sums[8];
      _mm256_store_ps(sums, Multiply(count, weights, kStepKeys, row));
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

template <class Pages>
void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch, LaneBlock* block) {
  const auto step = block->lanes == 1   ? Few<Pages, 1>::Step
                    : block->lanes == 2 ? Few<Pages, 2>::Step
                    : block->lanes <= 4 ? Few<Pages, 4>::Step
                                        : Few<Pages, 8>::Step;
  step(runs, count, head_dim, log2_scale, scratch, block);
}

template <class Pages>
void Pack(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  auto* const q = static_cast<float*>(block->q);
  const __m256 signs = _mm256_set1_ps(sign);
  for (size_t lane = 0; lane < kMaxLanes; ++lane) {
    block->max[lane] = kMinusInfinity;
    for (size_t d = 0; d < head_dim; d += 16) {
      Sixteen numbers = {_mm256_setzero_ps(), _mm256_setzero_ps()};
      if (queries[lane] != nullptr) {
        numbers = Pages::Order(_mm256_mul_ps(_mm256_loadu_ps(queries[lane] + d), signs),
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
  static constexpr AttentionBody kBody = {"avx2 few lanes", kMaxLanes, kRunKeys,        kStepKeys, kMaxLanes * sizeof(float),
                                          Pack<Bf16Pages>,  nullptr,   Step<Bf16Pages>, Finish,    nullptr,
                                          nullptr,          ExpandAvx2};
  return kBody;
}

const AttentionBody& FewLanesQ8Avx2Body() {
  static constexpr AttentionBody kBody = {"avx2 few lanes q8",
                                          kMaxLanes,
                                          kRunKeys,
                                          kStepKeys,
                                          kMaxLanes * sizeof(float),
                                          Pack<Q8Pages>,
                                          nullptr,
                                          Step<Q8Pages>,
                                          Finish,
                                          nullptr,
                                          nullptr,
                                          nullptr};
  return kBody;
}

}  // namespace damask::kernels
