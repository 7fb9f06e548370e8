// What decode bodies with AVX-512 VNNI share: a few rows of 8-bit activations times weight blocks read as the file has them. In
// an unnamed namespace: compiled with wide instruction sets and not to be shared.
//
// Every format is a struct that unpacks one step (128 to 512 numbers) of a weight row into unsigned bytes in registers; the
// activations lie in the order in which it unpacks (DecodeRows). vpdpbusd sums four neighbouring products a lane; lanes become
// floats, times (weight scale x activation scale) of their block. Each row of activations runs the same instructions whatever
// shares the call, so its result does not depend on m.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/blocks_avx512-inl.h"
#include "kernels/decode_blocks-inl.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

using Forms = Activations::Forms;

// Weight bytes ahead of the one being read: the prefetchers stop at page borders. Measured on Zen 4 with whole models
// (2026-11-24): formats that unpack much gain 2 % from 2048 over 256.
constexpr size_t kAheadFar = 2048;
// Rows of activations that share one unpacking: as many as find room in the registers.
constexpr size_t kRowsOfPlain = 8;
constexpr size_t kRowsOfPacked = 4;

inline __m512i And(__m512i a, __m512i b) { return _mm512_and_si512(a, b); }
inline __m512i LowNibbles(__m512i v) { return And(v, _mm512_set1_epi8(15)); }
inline __m512i HighNibbles(__m512i v) { return And(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15)); }

// The address may lie behind the weights: a number, not a pointer into them.
inline void Prefetch(const std::byte* at, size_t ahead = kAheadFar) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(at) + ahead), _MM_HINT_T0);
}

// Numbers 4 i .. 4 i + 3 in lanes 4 j .. 4 j + 3: spreads scales of four blocks over their lanes.
inline __m512 SpreadFours(__m512 scales, int first) {
  const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  return _mm512_permutexvar_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(first)), scales);
}

// Eight scales of 32 numbers each, as sixteen of 16.
inline __m512 SpreadTwice(__m256 scales) {
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(scales));
}

// 16 bytes each of four blocks that lie kStride apart.
template <size_t kStride>
inline __m512i SixteensOfBlocks(const std::byte* at) {
  const auto load = [at](size_t i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + i * kStride)); };
  __m512i all = _mm512_castsi128_si512(load(0));
  all = _mm512_inserti32x4(all, load(1), 1);
  all = _mm512_inserti32x4(all, load(2), 2);
  return _mm512_inserti32x4(all, load(3), 3);
}

// What one row of activations keeps while a weight row goes by.
struct Sums {
  __m512 products;
  __m512 minima;
};

// What an unsigned number is larger than the weight it stands for, as a power of two.
constexpr int kNoOffset = -1;

// Four blocks of 32 unsigned numbers, the first 16 of each in `low`, the last in `high`: adds to the sums their products with
// rows m .. m + M of activations from number `begin` on, times scales first .. first + 3 of `scales`.
template <int kOffsetShift, size_t M>
[[gnu::always_inline]] inline void AddFourBlocks(__m512i low, __m512i high, const DecodeRows& d, size_t m, size_t begin,
                                                 const __m512 (&scales)[M], int first, Sums* sums) {
#pragma GCC unroll 8
  for (size_t r = 0; r < M; ++r) {
    const size_t at = (m + r) * d.stride + begin;
    __m512i dots = _mm512_setzero_si512();
    if constexpr (kOffsetShift != kNoOffset) {
      dots = _mm512_slli_epi32(_mm512_loadu_si512(d.halves_sums.data() + at / 8), kOffsetShift);
    }
    dots = _mm512_dpbusd_epi32(dots, low, _mm512_loadu_si512(d.halves.data() + at));
    dots = _mm512_dpbusd_epi32(dots, high, _mm512_loadu_si512(d.halves.data() + at + 64));
    sums[r].products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), SpreadFours(scales[r], first), sums[r].products);
  }
}

// out[r * DecodeBlock::kColumns + i * apart] = row m + r of activations, of M, times weight row n + i * apart, of W.
template <typename Format, size_t M, size_t W>
void MultiplyRow(const Product& product, size_t n, size_t m, float* out, size_t apart) {
  const Forms& x = *product.x;
  const size_t k = product.w->k;
  const size_t row_bytes = k * Format::kStepBytes / Format::kStepNumbers;  // exact: k is a multiple of a block
  const std::byte* row = product.w->data + n * row_bytes;
  const size_t bytes_apart = apart * row_bytes;
  Sums sums[W][M];
#pragma GCC unroll 8
  for (size_t i = 0; i < W * M; ++i) sums[i / M][i % M] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  size_t begin = 0;
  for (; begin + Format::kStepNumbers <= k; begin += Format::kStepNumbers, row += Format::kStepBytes) {
#pragma GCC unroll 4
    for (size_t i = 0; i < W; ++i) Format::template Step<M>(row + i * bytes_apart, x, m, begin, sums[i]);
  }
  if (begin < k) {
    // The last blocks, fewer than a step: nothing may be read behind them, it may be the end of the file.
    alignas(64) std::byte last[Format::kStepBytes] = {};
    for (size_t i = 0; i < W; ++i) {
      __builtin_memcpy(last, row + i * bytes_apart, (k - begin) * Format::kStepBytes / Format::kStepNumbers);
      Format::template Step<M>(last, x, m, begin, sums[i]);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < W * M; ++i) {
    const Sums& of = sums[i / M][i % M];
    out[i % M * DecodeBlock::kColumns + i / M * apart] = _mm512_reduce_add_ps(_mm512_add_ps(of.products, of.minima));
  }
}

template <typename Format>
void MultiplyRows(const Product& product, const Part& part) {
  MultiplyByRows<Format::kRows>(Target::kAvx512, product, part,
                                [&]<size_t M, size_t W>(size_t n, size_t m, float* out, size_t apart) {
                                  MultiplyRow<Format, M, W>(product, n, m, out, apart);
                                });
}

}  // namespace
}  // namespace damask::kernels
