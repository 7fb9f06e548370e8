// Attention for at most 8 lanes over q8 pages: decode. Keys and values are used as they lie, as 8-bit integers, in products
// that take 64 of them at once: bringing them to bf16 first costs as much time as the products do.
//
// What meets them - queries, and weights times the scales of the values - is made of 16-bit integers, each two signed digits to
// base 256: error 2^-16 of the largest of a query, or of a step's weights, where bf16 has 2^-9 of each. The products want one
// side unsigned: 128 is added to keys and values, and 128 times the sum of the other side, the correction, taken off again.
// 128-bit group g belongs to lane g as in attention_fewlanes.cc; so does the fetching ahead.
//
// Measured on a Zen 4 core at head_dim 128, group 4, in ns a key: 20.7 with pages in L2, where bf16 pages take 16.2. Tried and
// lost: expanding pages into scratch for the body of bf16 pages (40, of which 16 are the expansion; no less where the scratch
// stays in L1); bf16 in registers, a vector of 32 numbers for each lane (38).
#include <cstring>

#include "kernels/attention_fewlanes-inl.h"

namespace damask::kernels {
namespace {

constexpr size_t kGroup = 32;  // dimensions with one scale
constexpr size_t kMaxGroups = 8;
constexpr size_t kChunk = 16;      // numbers of a lane in a vector
constexpr size_t kPageSlots = 64;  // from the value scales of one group to the next
constexpr size_t kStepKeys = 128;
constexpr float kLargest = 32512.0f;  // 127 * 256: its digits are within a signed byte
constexpr float kSmall = 1e-30f;      // what is smaller throughout counts as zero

// One group of dimensions of 4 queries.
struct QueryGroup {
  alignas(kCacheLine) int8_t digits[kGroup / kChunk][2][kFew * kChunk];  // high, low; [lane][16 dimensions]
  int32_t correction[kFew * 4];
};
static_assert(sizeof(QueryGroup) == 5 * kCacheLine);

// Packed queries: what the digits of each lane count in, four times, for two lane vectors; then [head_dim / 32][lane vectors].
constexpr size_t kUnits = 2 * kFew * 4;
float* Units(void* q) { return static_cast<float*>(q); }
const float* Units(const void* q) { return static_cast<const float*>(q); }
QueryGroup* Groups(void* q) { return reinterpret_cast<QueryGroup*>(Units(q) + kUnits); }
const QueryGroup* Groups(const void* q) { return reinterpret_cast<const QueryGroup*>(Units(q) + kUnits); }

__m512i RepeatUnsigned(const int8_t* numbers) {
  const __m512i all = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers)));
  return _mm512_xor_si512(all, _mm512_set1_epi8(-128));
}

// Of 16 bf16 scales.
__m512 Scales(const uint16_t* scales) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

__m512 FromDigits(__m512i high, __m512i low) { return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low)); }

template <int kVecs>
struct FewLanesQ8 {
  static constexpr size_t kRunKeys = 32;
  static constexpr size_t kRunChunks = kRunKeys / kChunk;
  static constexpr size_t kMaxChunks = kStepKeys / kChunk;
  static constexpr size_t kRow = kVecs * 16;  // floats of all lanes side by side

  // Sums of products with both digits of 4 rows, which are keys, or dimensions of values.
  struct Sums {
    __m512i high[kVecs][4];
    __m512i low[kVecs][4];
  };
  [[gnu::always_inline]] static inline void Begin(const int32_t* const* corrections, Sums* sums) {
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) {
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        sums->high[j][i] = _mm512_setzero_si512();
        sums->low[j][i] = _mm512_load_si512(corrections[j]);
      }
    }
  }
  // Rows are `stride` numbers apart; digits[j] are the high ones of lane vector j, the low ones follow.
  [[gnu::always_inline]] static inline void AddChunk(const int8_t* rows, size_t stride, const int8_t* const* digits,
                                                     Sums* sums) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const __m512i row = RepeatUnsigned(rows + i * stride);
#pragma GCC unroll 2
      for (int j = 0; j < kVecs; ++j) {
        sums->high[j][i] = _mm512_dpbusd_epi32(sums->high[j][i], row, _mm512_load_si512(digits[j]));
        sums->low[j][i] = _mm512_dpbusd_epi32(sums->low[j][i], row, _mm512_load_si512(digits[j] + kCacheLine));
      }
    }
  }

  // What 4 keys ask of the values of their run: a share of the lines, and with the first of them the scales.
  [[gnu::always_inline]] static inline void FetchValues(const KeyRun& run, size_t head_dim, size_t key) {
    const size_t share = 4 * head_dim;
    Prefetch(static_cast<const char*>(run.values) + key / 4 * share, share);
    if (key != 0) return;
    for (size_t d = 0; d < head_dim; d += kGroup) {
      _mm_prefetch(reinterpret_cast<const char*>(run.value_scales + d / kGroup * kPageSlots), _MM_HINT_T1);
    }
  }

  // Scores of 4 keys from `keys` on, not yet times the queries' units.
  [[gnu::always_inline]] static inline void ScoreFour(const int8_t* keys, const float* scales, size_t head_dim, size_t groups,
                                                      const QueryGroup* queries, __m512 (*scores)[4]) {
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) {
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) scores[j][i] = _mm512_setzero_ps();
    }
    for (size_t group = 0; group < groups; ++group) {
      const QueryGroup* const query = queries + group * kVecs;
      const int8_t* digits[kVecs];
      const int32_t* corrections[kVecs];
      for (int j = 0; j < kVecs; ++j) {
        digits[j] = query[j].digits[0][0];
        corrections[j] = query[j].correction;
      }
      Sums sums;
      Begin(corrections, &sums);
      AddChunk(keys + group * kGroup, head_dim, digits, &sums);
      if (group * kGroup + kChunk < head_dim) {
        for (int j = 0; j < kVecs; ++j) digits[j] = query[j].digits[1][0];
        AddChunk(keys + group * kGroup + kChunk, head_dim, digits, &sums);
      }
#pragma GCC unroll 2
      for (int j = 0; j < kVecs; ++j) {
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; ++i) {
          const __m512 scale = _mm512_set1_ps(scales[i * groups + group]);
          scores[j][i] = _mm512_fmadd_ps(FromDigits(sums.high[j][i], sums.low[j][i]), scale, scores[j][i]);
        }
      }
    }
  }

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, float* scores, __m512* max) {
    const void* const q = block.q;
    const size_t groups = (head_dim + kGroup - 1) / kGroup;
    alignas(kCacheLine) float scales[kRunKeys * kMaxGroups];
    for (size_t r = 0; r < count; ++r) {
      for (size_t i = 0; i < kRunKeys * groups; i += 16) _mm512_store_ps(scales + i, Scales(runs[r].key_scales + i));
      for (size_t key = 0; key < kRunKeys; key += 4) {
        FetchValues(runs[r], head_dim, key);
        const int8_t* const keys = static_cast<const int8_t*>(runs[r].keys) + key * head_dim;
        __m512 sums[kVecs][4];
        ScoreFour(keys, scales + key * groups, head_dim, groups, Groups(q), sums);
#pragma GCC unroll 2
        for (int j = 0; j < kVecs; ++j) {
          __m512 four = _mm512_mul_ps(SumGroups(sums[j]), _mm512_load_ps(Units(q) + j * 16));
          if (runs[r].masks != nullptr) four = MaskFour(four, runs[r].masks + key, block, j * kFew);
          max[j] = _mm512_max_ps(max[j], four);
          _mm512_store_ps(scores + (r * kRunKeys + key) / 4 * kRow + j * 16, four);
        }
      }
    }
  }

  // In the place of the scores, as they are.
  static void StoreWeights(const StepScratch& scratch, int j, size_t key, __m512 low, __m512 high) {
    float* const weights = scratch.scores + key / 4 * kRow + j * 16;
    _mm512_store_ps(weights, low);
    _mm512_store_ps(weights + kRow, high);
  }

  // The weights of a step times the scales of one group of its values, of one lane vector.
  struct Weights {
    alignas(kCacheLine) int8_t digits[kMaxChunks][2][kFew * kChunk];  // high, low; [lane][16 keys]
    int32_t correction[kFew * 4];
    __m512 unit;
  };

  // weights [keys / 4][lane][4] in rows of kRow floats, scales [keys].
  static void MakeWeights(const float* weights, const float* scales, size_t keys, Weights* out) {
    const auto product = [&](size_t key) {
      return _mm512_mul_ps(_mm512_load_ps(weights + key / 4 * kRow), _mm512_broadcast_f32x4(_mm_load_ps(scales + key)));
    };
    // Nothing is negative, and such numbers order as their bits do, with NaN above all: max() of floats forgets it.
    const auto larger = [](__m512 a, __m512 b) {
      return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
    };
    __m512 largest = _mm512_setzero_ps();
    for (size_t key = 0; key < keys; key += 4) largest = larger(largest, product(key));
    largest = ReduceGroups(largest, larger);
    const __mmask16 some = _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kSmall), _CMP_NLT_UQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(kLargest), largest);
    out->unit = _mm512_maskz_mul_ps(some, largest, _mm512_set1_ps(1.0f / kLargest));
    __m512i sum = _mm512_setzero_si512();
    for (size_t key = 0; key < keys; key += kChunk) {
      __m512i high[4];
      __m512i low[4];
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        const __m512i number = _mm512_cvtps_epi32(_mm512_mul_ps(product(key + i * 4), inverse));
        sum = _mm512_add_epi32(sum, number);
        high[i] = _mm512_srai_epi32(_mm512_add_epi32(number, _mm512_set1_epi32(128)), 8);
        low[i] = _mm512_sub_epi32(number, _mm512_slli_epi32(high[i], 8));
      }
      _mm512_store_si512(out->digits[key / kChunk][0], Bytes(high));
      _mm512_store_si512(out->digits[key / kChunk][1], Bytes(low));
    }
    _mm512_store_si512(out->correction, _mm512_slli_epi32(_mm512_sub_epi32(_mm512_setzero_si512(), sum), 7));
  }
  // 16 bytes of each lane from four times 4 integers.
  static __m512i Bytes(const __m512i numbers[4]) {
    return _mm512_packs_epi16(_mm512_packs_epi32(numbers[0], numbers[1]), _mm512_packs_epi32(numbers[2], numbers[3]));
  }

  // What 4 dimensions of the values ask of the next pages: a share of their keys and key scales.
  [[gnu::always_inline]] static inline void FetchKeys(const PageFetch& fetch, size_t head_dim, size_t dim) {
    const size_t lines = fetch.page_bytes / 2 / kCacheLine;  // the keys' half
    const size_t share = lines / (head_dim / 4) + 1;
    const size_t first = dim / 4 * share;
    const size_t end = first + share < lines ? first + share : lines;
    for (size_t page = 0; page < fetch.num_pages && first < end; ++page) {
      Prefetch(static_cast<const char*>(fetch.pages[page]) + first * kCacheLine, (end - first) * kCacheLine);
    }
  }

  // O^T of 4 dimensions.
  static void AddFour(const KeyRun* runs, size_t count, size_t dim, const Weights* weights, const __m512* factors, float* out) {
    const int32_t* corrections[kVecs];
    for (int j = 0; j < kVecs; ++j) corrections[j] = weights[j].correction;
    Sums sums;
    Begin(corrections, &sums);
    for (size_t r = 0; r < count; ++r) {
      const int8_t* const lines = static_cast<const int8_t*>(runs[r].values) + dim * kValueLine;
#pragma GCC unroll 2
      for (size_t chunk = 0; chunk < kRunChunks; ++chunk) {
        const int8_t* digits[kVecs];
        for (int j = 0; j < kVecs; ++j) digits[j] = weights[j].digits[r * kRunChunks + chunk][0];
        AddChunk(lines + chunk * kChunk, kValueLine, digits, &sums);
      }
    }
#pragma GCC unroll 2
    for (int j = 0; j < kVecs; ++j) {
      __m512 four[4];
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) four[i] = FromDigits(sums.high[j][i], sums.low[j][i]);
      const __m512 sum = _mm512_mul_ps(SumGroups(four), weights[j].unit);
      _mm512_store_ps(out + j * 16, _mm512_fmadd_ps(_mm512_load_ps(out + j * 16), factors[j], sum));
    }
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const __m512* factors, const StepScratch& scratch,
                     LaneBlock* block) {
    Weights weights[kVecs];
    alignas(kCacheLine) float scales[kStepKeys];
    for (size_t first = 0; first < head_dim; first += kGroup) {
      for (size_t key = 0; key < count * kRunKeys; key += 16) {
        const uint16_t* const group = runs[key / kRunKeys].value_scales + first / kGroup * kPageSlots;
        _mm512_store_ps(scales + key, Scales(group + key % kRunKeys));
      }
      for (int j = 0; j < kVecs; ++j) MakeWeights(scratch.scores + j * 16, scales, count * kRunKeys, &weights[j]);
      for (size_t dim = first; dim < head_dim && dim < first + kGroup; dim += 4) {
        FetchKeys(*scratch.fetch, head_dim, dim);
        AddFour(runs, count, dim, weights, factors, block->out + dim / 4 * kRow);
      }
    }
  }
};

// One lane's query as digits; of what is no number as that.
void PackQuery(const float* query, size_t head_dim, float sign, size_t lane, size_t vecs, void* q) {
  float largest = 0.0f;
  float zero = 0.0f;
  for (size_t d = 0; d < head_dim; ++d) {
    largest = query[d] > largest ? query[d] : -query[d] > largest ? -query[d] : largest;
    zero += query[d] * 0.0f;
  }
  const size_t at = lane % kFew;
  for (size_t i = 0; i < 4; ++i) Units(q)[lane * 4 + i] = zero == 0.0f ? largest / kLargest : zero;
  if (largest < kSmall || zero != 0.0f) return;
  const float inverse = sign * kLargest / largest;
  for (size_t d = 0; d < head_dim; ++d) {
    QueryGroup& group = Groups(q)[d / kGroup * vecs + lane / kFew];
    const float number = query[d] * inverse;
    const auto rounded = static_cast<int32_t>(number < 0.0f ? number - 0.5f : number + 0.5f);
    const int32_t high = (rounded + 128) >> 8;
    int8_t(*const digits)[kFew * kChunk] = group.digits[d % kGroup / kChunk];
    digits[0][at * kChunk + d % kChunk] = static_cast<int8_t>(high);
    digits[1][at * kChunk + d % kChunk] = static_cast<int8_t>(rounded - high * 256);
    group.correction[at * 4 + d % 4] -= 128 * rounded;
  }
}

void PackFewQ8(const float* const* rows, size_t head_dim, float sign, LaneBlock* block) {
  ClearFew(head_dim, block);
  const size_t vecs = (block->lanes + kFew - 1) / kFew;
  const size_t groups = (head_dim + kGroup - 1) / kGroup;
  std::memset(block->q, 0, kUnits * sizeof(float) + groups * vecs * sizeof(QueryGroup));
  for (size_t lane = 0; lane < block->lanes; ++lane) PackQuery(rows[lane], head_dim, sign, lane, vecs, block->q);
}

}  // namespace

const AttentionBody& FewLanesQ8Body() {
  static constexpr AttentionBody kBody = {"avx512bf16 few lanes q8",
                                          8,
                                          32,
                                          kStepKeys,
                                          kLanes * sizeof(bf16),
                                          PackFewQ8,
                                          nullptr,
                                          StepFew<FewLanesQ8>,
                                          FinishFew,
                                          nullptr,
                                          nullptr,
                                          nullptr};
  return kBody;
}

}  // namespace damask::kernels
