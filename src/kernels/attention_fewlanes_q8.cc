// Attention for at most 8 lanes over q8 pages: decode, where memory is what counts. Numbers become bf16 in registers, rounded
// as expand.h rounds them, and are used there: a vector holds 32 dimensions of a key (or 32 keys of a value's line) and meets
// 32 of each lane; the sums of 4 keys x 4 lanes are reduced together. Expanding pages into scratch for the bf16 body instead
// took 40 ns a key of head_dim 128 on a Zen 4 core, against 21 with bf16 pages: half of it the conversion, which that body's
// own work does not overlap.
//
// Each key and value is read once from memory, and fetched ahead as in attention_fewlanes.cc.
#include "kernels/attention_fewlanes-inl.h"

namespace damask::kernels {
namespace {

constexpr size_t kGroup = 32;      // dimensions with one scale
constexpr size_t kMaxGroups = 8;   // head_dim 256
constexpr size_t kPageSlots = 64;  // from the value scales of one group to the next
constexpr size_t kStepKeys = 128;

__m512 Floats(const int8_t* numbers) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers))));
}
__m512 Splat(uint16_t scale) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(scale) << 16)); }
__m512 Scales(const uint16_t* scales) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// 32 numbers times their scales.
__m512i Scaled(const int8_t* numbers, __m512 low, __m512 high) {
  const __m512 first = _mm512_mul_ps(Floats(numbers), low);
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(Floats(numbers + 16), high), first);
}

// One group of a key; of the last 16 dimensions of some the rest is zero.
__m512i ScaledKey(const int8_t* numbers, size_t count, uint16_t scale) {
  const __m512 factor = Splat(scale);
  if (count >= kGroup) return Scaled(numbers, factor, factor);
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_setzero_ps(), _mm512_mul_ps(Floats(numbers), factor));
}

// From 8 numbers of each of 4 lanes, four times, to 32 numbers of each: transposes 16-byte blocks. The vectors are `stride`
// units apart.
void ByLane(const uint32_t* units, size_t stride, __m512i lanes[kFew]) {
  __m512i r[4];
  for (size_t i = 0; i < 4; ++i) r[i] = _mm512_load_si512(units + i * stride);
  const __m512i low01 = _mm512_shuffle_i32x4(r[0], r[1], 0x44);
  const __m512i high01 = _mm512_shuffle_i32x4(r[0], r[1], 0xee);
  const __m512i low23 = _mm512_shuffle_i32x4(r[2], r[3], 0x44);
  const __m512i high23 = _mm512_shuffle_i32x4(r[2], r[3], 0xee);
  lanes[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
  lanes[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
  lanes[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
  lanes[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
}

// Element i of group g: the sum over a[i][g].
__m512 SumAll(const __m512 a[4][kFew]) {
  __m512 t[kFew];
  for (size_t g = 0; g < kFew; ++g) {
    const __m512 four[4] = {a[0][g], a[1][g], a[2][g], a[3][g]};
    t[g] = SumGroups(four);
  }
  const __m512 t01 = _mm512_add_ps(_mm512_shuffle_f32x4(t[0], t[1], 0x88), _mm512_shuffle_f32x4(t[0], t[1], 0xdd));
  const __m512 t23 = _mm512_add_ps(_mm512_shuffle_f32x4(t[2], t[3], 0x88), _mm512_shuffle_f32x4(t[2], t[3], 0xdd));
  return _mm512_add_ps(_mm512_shuffle_f32x4(t01, t23, 0x88), _mm512_shuffle_f32x4(t01, t23, 0xdd));
}

// sums[i][g] += rows[i] . lanes[g]: sixteen products that do not wait for each other.
[[gnu::always_inline]] inline void AddProducts(const __m512i rows[4], const __m512i lanes[kFew], __m512 sums[4][kFew]) {
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
#pragma GCC unroll 4
    for (size_t g = 0; g < kFew; ++g) sums[i][g] = Dot(sums[i][g], rows[i], lanes[g]);
  }
}

[[gnu::always_inline]] inline void Clear(__m512 sums[4][kFew]) {
#pragma GCC unroll 16
  for (size_t i = 0; i < 4 * kFew; ++i) sums[i / kFew][i % kFew] = _mm512_setzero_ps();
}

template <int kVecs>
struct FewLanesQ8 {
  static constexpr size_t kRunKeys = 32;
  static constexpr size_t kMaxRuns = kStepKeys / kRunKeys;
  static constexpr size_t kRow = kVecs * 16;  // floats, or units, of all lanes side by side

  // What 4 keys ask of the values of their run: a share of the lines, and with the first of them the scales.
  static void FetchValues(const KeyRun& run, size_t head_dim, size_t key) {
    const size_t share = 4 * head_dim;
    Prefetch(static_cast<const char*>(run.values) + key / 4 * share, share);
    if (key != 0) return;
    for (size_t d = 0; d < head_dim; d += kGroup) {
      _mm_prefetch(reinterpret_cast<const char*>(run.value_scales + d / kGroup * kPageSlots), _MM_HINT_T1);
    }
  }

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, float* scores, __m512* max) {
    const size_t groups = (head_dim + kGroup - 1) / kGroup;
    __m512i queries[kVecs][kMaxGroups][kFew];
    for (int j = 0; j < kVecs; ++j) {
      const uint32_t* const q = static_cast<const uint32_t*>(block.q) + j * 16;
      for (size_t group = 0; group < groups; ++group) ByLane(q + group * 4 * kRow, kRow, queries[j][group]);
    }
    for (size_t r = 0; r < count; ++r) {
      for (size_t key = 0; key < kRunKeys; key += 4) {
        FetchValues(runs[r], head_dim, key);
        __m512i keys[kMaxGroups][4];
        for (size_t group = 0; group < groups; ++group) {
          const int8_t* const numbers = static_cast<const int8_t*>(runs[r].keys) + key * head_dim + group * kGroup;
          const uint16_t* const scales = runs[r].key_scales + key * groups + group;
#pragma GCC unroll 4
          for (size_t i = 0; i < 4; ++i) {
            keys[group][i] = ScaledKey(numbers + i * head_dim, head_dim - group * kGroup, scales[i * groups]);
          }
        }
        for (int j = 0; j < kVecs; ++j) {
          __m512 sums[4][kFew];
          Clear(sums);
          for (size_t group = 0; group < groups; ++group) AddProducts(keys[group], queries[j][group], sums);
          __m512 four = SumAll(sums);
          if (runs[r].masks != nullptr) four = MaskFour(four, runs[r].masks + key, block, j * kFew);
          max[j] = _mm512_max_ps(max[j], four);
          _mm512_store_ps(scores + (r * kRunKeys + key) / 4 * kRow + j * 16, four);
        }
      }
    }
  }

  // What 4 dimensions of the values ask of the next pages: a share of their keys and key scales.
  static void FetchKeys(const PageFetch& fetch, size_t head_dim, size_t dim) {
    const size_t lines = fetch.page_bytes / 2 / kCacheLine;  // the keys' half
    const size_t share = lines / (head_dim / 4) + 1;
    const size_t first = dim / 4 * share;
    const size_t end = first + share < lines ? first + share : lines;
    for (size_t page = 0; page < fetch.num_pages && first < end; ++page) {
      Prefetch(static_cast<const char*>(fetch.pages[page]) + first * kCacheLine, (end - first) * kCacheLine);
    }
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const __m512* factors, const StepScratch& scratch,
                     LaneBlock* block) {
    __m512i weights[kVecs][kMaxRuns][kFew];
    for (int j = 0; j < kVecs; ++j) {
      const uint32_t* const w = static_cast<const uint32_t*>(scratch.weights) + j * 16;
      for (size_t r = 0; r < count; ++r) ByLane(w + r * 4 * kRow, kRow, weights[j][r]);
    }
    __m512 scales[kMaxRuns][2];
    for (size_t dim = 0; dim < head_dim; dim += 4) {
      FetchKeys(*scratch.fetch, head_dim, dim);
      __m512i lines[kMaxRuns][4];
      for (size_t r = 0; r < count; ++r) {
        if (dim % kGroup == 0) {
          const uint16_t* const group = runs[r].value_scales + dim / kGroup * kPageSlots;
          scales[r][0] = Scales(group);
          scales[r][1] = Scales(group + 16);
        }
        const int8_t* const numbers = static_cast<const int8_t*>(runs[r].values) + dim * kValueLine;
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; ++i) lines[r][i] = Scaled(numbers + i * kValueLine, scales[r][0], scales[r][1]);
      }
      for (int j = 0; j < kVecs; ++j) {
        __m512 sums[4][kFew];
        Clear(sums);
        for (size_t r = 0; r < count; ++r) AddProducts(lines[r], weights[j][r], sums);
        float* const out = block->out + dim / 4 * kRow + j * 16;
        _mm512_store_ps(out, _mm512_fmadd_ps(_mm512_load_ps(out), factors[j], SumAll(sums)));
      }
    }
  }
};

}  // namespace

const AttentionBody& FewLanesQ8Body() {
  static constexpr AttentionBody kBody = {"avx512bf16 few lanes q8",
                                          8,
                                          32,
                                          kStepKeys,
                                          kLanes * sizeof(bf16),
                                          PackFew,
                                          nullptr,
                                          StepFew<FewLanesQ8>,
                                          FinishFew,
                                          nullptr,
                                          nullptr,
                                          nullptr};
  return kBody;
}

}  // namespace damask::kernels
