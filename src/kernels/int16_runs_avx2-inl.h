// Keys and values of a step of attention as 16-bit integers, for products of pairs. In an unnamed namespace: compiled with AVX2
// and not to be shared.
//
// Every slot has a power of two for its key and one for its value. A value's is by the largest of its numbers: a bf16 number
// keeps all of its 8 bits unless it is smaller than a 16th of that. A key's numbers may be as large as 16 bits hold if only
// their sum is bounded, so that one or two dimensions far above the others, as some models have them, leave those enough bits.
// What a slot becomes depends on that slot alone: a row does not change its bits with what else has been written to a page.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention_avx2-inl.h"
#include "kernels/attention_steps.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

constexpr size_t kInt16RunKeys = 16;
constexpr size_t kInt16StepKeys = 128;
// Powers of two that bound the numbers, and the sum of the magnitudes of a key's. Sums over head_dim for scores, and over the
// keys of a step for values, stay within 31 bits (bf16 numbers have 8 bits, so that the largest integer of b bits is 255 / 256
// of 2^b).
constexpr int kQueryBits = 13;
constexpr int kKeyBits = 15;
constexpr int kKeySumBits = 18;
static_assert(kQueryBits + kKeySumBits <= 31);
constexpr int kWeightBits = 12;
constexpr int kValueBits = 12;
static_assert(kInt16StepKeys << (kWeightBits + kValueBits) <= size_t{1} << 31);
constexpr int16_t kBrokenNumber = INT16_MIN;  // of a value that is NaN or infinite

// A run in the scratch: keys [16 / 4][head_dim / 2][4][2], values [head_dim / 4][16 / 2][4][2] - what four keys or dimensions
// have of a pair lies together - and this.
struct RunScales {
  alignas(32) float keys[kInt16RunKeys];            // what a key's numbers count in; NaN where one of them is NaN or infinite
  alignas(32) float value_logs[kInt16RunKeys];      // log2 of what a value's numbers count in
  alignas(32) float value_inverses[kInt16RunKeys];  // and its inverse
  bool broken;                                      // some value is NaN or infinite
};

inline size_t Int16RunBytes(size_t head_dim) { return 2 * kInt16RunKeys * head_dim * sizeof(int16_t) + sizeof(RunScales); }
inline RunScales* ScalesOf(void* run_keys, size_t head_dim) {
  return reinterpret_cast<RunScales*>(static_cast<int16_t*>(run_keys) + 2 * kInt16RunKeys * head_dim);
}
inline const RunScales* ScalesOf(const KeyRun& run, size_t head_dim) { return ScalesOf(const_cast<void*>(run.keys), head_dim); }

// The largest magnitude of finite numbers, as bits, which have the numbers' order; and whether there were others.
struct Largest {
  __m256i bits = _mm256_setzero_si256();
  __m256i broken = _mm256_setzero_si256();

  // Gives the magnitudes, zero where there is no number.
  __m256i Add(__m256i bf16) {
    const __m256i magnitude = _mm256_and_si256(bf16, _mm256_set1_epi16(0x7fff));
    const __m256i no_number = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(0x7f7f));
    const __m256i finite = _mm256_andnot_si256(no_number, magnitude);
    broken = _mm256_or_si256(broken, no_number);
    bits = _mm256_max_epu16(bits, finite);
    return finite;
  }
};

inline __m256i LoadBits(const uint16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// The larger of 16 lanes.
inline int LargestLane(__m256i lanes) {
  const __m128i half = _mm_max_epu16(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  const __m128i inverted = _mm_minpos_epu16(_mm_xor_si128(half, _mm_set1_epi16(-1)));
  return 0xffff ^ _mm_extract_epi16(inverted, 0);
}

// x < 2^(Exponent(x) + 1).
inline int Exponent(float x) {
  int bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  return (bits >> 23) - 127;
}

inline float PowerOfTwo(int exponent) {
  const int bits = (exponent + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, sizeof(power));
  return power;
}

// Sixteen bf16 numbers times their factors: `first` those of numbers 0-3 and 8-11, `second` of the others. What is no number
// becomes kBrokenNumber.
inline __m256i Sixteen(__m256i bf16, __m256 first, __m256 second) {
  const auto scaled = [](__m256i wide, __m256 factor) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_castsi256_ps(wide), factor));
  };
  const __m256i zero = _mm256_setzero_si256();
  return _mm256_packs_epi32(scaled(_mm256_unpacklo_epi16(zero, bf16), first),
                            scaled(_mm256_unpackhi_epi16(zero, bf16), second));
}

// Four rows of eight pairs as [8][4][2].
inline void StoreFour(const __m256i (&rows)[4], int16_t* to) {
  const __m256i low[2] = {_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])};
  const __m256i high[2] = {_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])};
  // Pairs i and i + 4, four numbers of each.
  const __m256i pairs[4] = {_mm256_unpacklo_epi64(low[0], low[1]), _mm256_unpackhi_epi64(low[0], low[1]),
                            _mm256_unpacklo_epi64(high[0], high[1]), _mm256_unpackhi_epi64(high[0], high[1])};
  auto* const at = reinterpret_cast<__m256i*>(to);
  _mm256_store_si256(at, _mm256_permute2x128_si256(pairs[0], pairs[1], 0x20));
  _mm256_store_si256(at + 1, _mm256_permute2x128_si256(pairs[2], pairs[3], 0x20));
  _mm256_store_si256(at + 2, _mm256_permute2x128_si256(pairs[0], pairs[1], 0x31));
  _mm256_store_si256(at + 3, _mm256_permute2x128_si256(pairs[2], pairs[3], 0x31));
}

// Exponents below it count as it: 2^-40 and less is as good as zero, and factors stay normal.
constexpr int kLeastExponent = -40;

// Gives what the key's numbers are multiplied with, a power of two, and stores its inverse.
inline __m256 KeyFactor(const uint16_t* from, size_t head_dim, float* scale) {
  const __m256i zero = _mm256_setzero_si256();
  Largest largest;
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t d = 0; d < head_dim; d += 16) {
    const __m256i magnitudes = largest.Add(LoadBits(from + d));
    sums[0] = _mm256_add_ps(sums[0], _mm256_castsi256_ps(_mm256_unpacklo_epi16(zero, magnitudes)));
    sums[1] = _mm256_add_ps(sums[1], _mm256_castsi256_ps(_mm256_unpackhi_epi16(zero, magnitudes)));
  }
  const int exponent = (LargestLane(largest.bits) >> 7) - 127;
  // With room for what rounding adds: half of each of 256 numbers at most.
  const int sum_exponent = Exponent(Sum(_mm256_add_ps(sums[0], sums[1])) * 1.001f);
  const int by_largest = kKeyBits - 1 - (exponent < kLeastExponent ? kLeastExponent : exponent);
  const int by_sum = kKeySumBits - 1 - sum_exponent;
  const int shift = by_largest < by_sum ? by_largest : by_sum;
  const bool broken = _mm256_testz_si256(largest.broken, largest.broken) == 0;
  *scale = broken ? __builtin_nanf("") : PowerOfTwo(-shift);
  return _mm256_set1_ps(PowerOfTwo(shift));
}

inline void UnpackKeys(const uint16_t* from, size_t head_dim, int16_t* to, RunScales* scales) {
  for (size_t key = 0; key < kInt16RunKeys; key += 4, from += 4 * head_dim) {
    __m256 factors[4];
    for (size_t i = 0; i < 4; ++i) factors[i] = KeyFactor(from + i * head_dim, head_dim, scales->keys + key + i);
    for (size_t d = 0; d < head_dim; d += 16, to += 64) {
      __m256i rows[4];
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) rows[i] = Sixteen(LoadBits(from + i * head_dim + d), factors[i], factors[i]);
      StoreFour(rows, to);
    }
  }
}

// `from` are lines of kValueLine numbers, of which the run's are the first 16.
inline void UnpackValues(const uint16_t* from, size_t head_dim, int16_t* to, RunScales* scales) {
  Largest largest;
  for (size_t d = 0; d < head_dim; ++d) largest.Add(LoadBits(from + d * kValueLine));
  const __m256i biased = _mm256_max_epi16(_mm256_srli_epi16(largest.bits, 7), _mm256_set1_epi16(kLeastExponent + 127));
  __m256 factors[2];
  for (int half = 0; half < 2; ++half) {
    const __m256i exponent = _mm256_sub_epi32(
        _mm256_cvtepu16_epi32(half == 0 ? _mm256_castsi256_si128(biased) : _mm256_extracti128_si256(biased, 1)),
        _mm256_set1_epi32(127 + kValueBits - 1));
    factors[half] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(127), exponent), 23));
    _mm256_store_ps(scales->value_logs + 8 * half, _mm256_cvtepi32_ps(exponent));
    _mm256_store_ps(scales->value_inverses + 8 * half, factors[half]);
  }
  const __m256 first = _mm256_permute2f128_ps(factors[0], factors[1], 0x20);
  const __m256 second = _mm256_permute2f128_ps(factors[0], factors[1], 0x31);
  scales->broken = _mm256_testz_si256(largest.broken, largest.broken) == 0;
  for (size_t d = 0; d < head_dim; d += 4, from += 4 * kValueLine, to += 4 * kInt16RunKeys) {
    __m256i rows[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) rows[i] = Sixteen(LoadBits(from + i * kValueLine), first, second);
    StoreFour(rows, to);
  }
}

inline void UnpackInt16(KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch) {
  auto* at = reinterpret_cast<char*>(scratch.unpacked);
  for (size_t r = 0; r < count; ++r, at += Int16RunBytes(head_dim)) {
    auto* const keys = reinterpret_cast<int16_t*>(at);
    int16_t* const values = keys + kInt16RunKeys * head_dim;
    RunScales* const scales = ScalesOf(keys, head_dim);
    UnpackKeys(static_cast<const uint16_t*>(runs[r].keys), head_dim, keys, scales);
    UnpackValues(static_cast<const uint16_t*>(runs[r].values), head_dim, values, scales);
    runs[r].keys = keys;
    runs[r].values = values;
  }
}

}  // namespace
}  // namespace damask::kernels
