// Rows of activations to 8-bit blocks of 32, and to 13-bit blocks for prefill.
#include <immintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/activation_forms.h"
#include "kernels/fixed_avx2-inl.h"
#include "kernels/pairs_avx2-inl.h"

namespace damask::kernels::avx2 {
namespace {

__m256i Magnitude(__m256 v) { return _mm256_castps_si256(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), v)); }

// As integers the bits of |x| have the order of the numbers, with NaN above all: max() of floats forgets it.
float LargestMagnitude(const __m256* v) {
  const __m256i largest =
      _mm256_max_epi32(_mm256_max_epi32(Magnitude(v[0]), Magnitude(v[1])), _mm256_max_epi32(Magnitude(v[2]), Magnitude(v[3])));
  return std::bit_cast<float>(LargestOfEight(largest));
}

// 32 floats to bytes; gives the scale. Where one is NaN the scale is, and with it all that the bytes are used for.
__m256i QuantizeBlock(const float* x, float* scale) {
  const __m256 v[4] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16), _mm256_loadu_ps(x + 24)};
  const float max = LargestMagnitude(v);
  *scale = max * (1.0f / 127);
  const __m256 inverse = _mm256_set1_ps(max > 0 ? 127.0f / max : 0.0f);
  const __m256i a =
      _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[0], inverse)), _mm256_cvtps_epi32(_mm256_mul_ps(v[1], inverse)));
  const __m256i b =
      _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[2], inverse)), _mm256_cvtps_epi32(_mm256_mul_ps(v[3], inverse)));
  // The packs worked within 128-bit halves: groups of four are in the order 0 2 4 6 1 3 5 7.
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// Sums over fours of 32 bytes.
__m256i SumFours(__m256i bytes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

__m128i SumHalves(__m256i v) { return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)); }

int32_t SumLanes(__m128i sum) {
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}
int32_t SumLanes(__m256i v) { return SumLanes(SumHalves(v)); }

// The floats of a block that may end beyond k: there a copy with zeros, in `padded`.
template <size_t kBlock>
const float* BlockOf(const float* x, size_t begin, size_t k, float (&padded)[kBlock]) {
  if (begin + kBlock <= k) return x + begin;
  for (size_t i = 0; i < kBlock; ++i) padded[i] = begin + i < k ? x[begin + i] : 0.0f;
  return padded;
}

void Store32(int8_t* at, __m256i bytes) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), bytes); }
void Store16(int8_t* at, __m128i bytes) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), bytes); }

}  // namespace

void MakeDecodeRow(const float* x, size_t k, size_t row, DecodeRows* out) {
  // Where block b of a super-block lies in `pairs`: the inverse of 0 2 1 3 4 6 5 7, which is itself.
  constexpr size_t kPairsPlace[8] = {0, 2, 1, 3, 4, 6, 5, 7};
  int8_t* natural = out->natural.data() + row * out->stride;
  int8_t* halves = out->halves.data() + row * out->stride;
  int8_t* pairs = out->pairs.data() + row * out->stride;
  int32_t* natural_sums = out->natural_sums.data() + row * (out->stride / 4);
  int16_t* sixteen_sums = out->sixteen_sums.data() + row * (out->stride / 16);
  int32_t* halves_sums = out->halves_sums.data() + row * (out->stride / 8);
  float* scale = out->scale.data() + row * (out->stride / kDecodeBlock);
  float* scaled_sum = out->scaled_sum.data() + row * (out->stride / kDecodeBlock);
  for (size_t block = 0; block < out->stride / kDecodeBlock; ++block) {
    const size_t begin = block * kDecodeBlock;
    float padded[kDecodeBlock];
    const __m256i bytes = QuantizeBlock(BlockOf(x, begin, k, padded), scale + block);
    const __m256i fours = SumFours(bytes);
    const int32_t first = SumLanes(_mm256_castsi256_si128(fours));
    const int32_t second = SumLanes(_mm256_extracti128_si256(fours, 1));
    sixteen_sums[2 * block] = static_cast<int16_t>(first);
    sixteen_sums[2 * block + 1] = static_cast<int16_t>(second);
    scaled_sum[block] = scale[block] * static_cast<float>(first + second);
    Store32(natural + begin, bytes);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(natural_sums + begin / 4), _mm256_sub_epi32(_mm256_setzero_si256(), fours));
    int8_t* group = halves + block / 4 * 128 + block % 4 * 16;
    Store16(group, _mm256_castsi256_si128(bytes));
    Store16(group + 64, _mm256_extracti128_si256(bytes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(halves_sums + block * 4), _mm_sub_epi32(_mm_setzero_si128(), SumHalves(fours)));
    Store32(pairs + block / 8 * 256 + kPairsPlace[block % 8] * 32, bytes);
  }
}

void MakeFineRow(const float* x, size_t k, size_t row, FineRows* out) {
  int8_t* q = out->q.data() + row * out->stride;
  float* factors = out->factors.data() + out->FactorAt(row, 0);
  for (size_t block = 0; block < out->blocks; ++block, factors += 2 * kTileRows) {
    float padded[kFineBlock];
    const __m256i bytes = QuantizeBlock(BlockOf(x, block * kFineBlock, k, padded), factors);
    Store32(q + block * kFineBlock, bytes);
    factors[kTileRows] = *factors * static_cast<float>(SumLanes(SumFours(bytes)));
  }
}

void MakeFixedRow(const float* x, size_t k, size_t row, FixedRows* out) {
  int16_t* q = out->q.data() + row * out->stride;
  float* scale = out->scale.data() + row * out->blocks;
  for (size_t block = 0; block < out->blocks; ++block, q += kFixedBlock) {
    float padded[kFixedBlock];
    const float* input = BlockOf(x, block * kFixedBlock, k, padded);
    const __m256 inverse = _mm256_set1_ps(FixedScale(input, scale + block));
    for (size_t i = 0; i < kFixedBlock; i += 16) {
      const __m256i pairs = RoundSixteen(input + i, inverse);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + i), _mm256_permute4x64_epi64(pairs, 0xd8));
    }
  }
}

}  // namespace damask::kernels::avx2
