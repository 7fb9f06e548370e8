// Decode with float weights (F32, F16, BF16) and AVX-512: float activations, float sums.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/decode_blocks-inl.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels::avx512 {
namespace {

constexpr size_t kMaxRows = 4;
// Weight bytes ahead of the one being read; the prefetchers stop at page borders.
constexpr size_t kAhead = 2048;

__mmask16 Lanes(size_t count) { return count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

struct F32 {
  static constexpr size_t kBytes = 4;
  static __m512 Load(__mmask16 lanes, const std::byte* at) { return _mm512_maskz_loadu_ps(lanes, at); }
};

struct F16 {
  static constexpr size_t kBytes = 2;
  static __m512 Load(__mmask16 lanes, const std::byte* at) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, at)); }
};

struct BF16 {
  static constexpr size_t kBytes = 2;
  static __m512 Load(__mmask16 lanes, const std::byte* at) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, at)), 16));
  }
};

// out[r * DecodeBlock::kColumns + i * apart] = row m + r of activations, of M, times the weight row i * apart rows behind
// `row`, of W.
template <typename Format, size_t M, size_t W = 1>
void MultiplyRow(const Product& product, const std::byte* row, size_t m, float* out, size_t apart = 0) {
  static_assert(M == 1 || W == 1);
  constexpr size_t kChains = 4;  // the latency of one sum's chain
  const Activations::Forms& x = *product.x;
  const size_t k = product.w->k;
  const float* input = x.floats.data() + m * x.float_stride;
  __m512 sums[M * W][kChains];
#pragma GCC unroll 4
  for (size_t r = 0; r < M * W; ++r) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kChains; ++c) sums[r][c] = _mm512_setzero_ps();
  }
  // Numbers i .. i + 16 of all rows, to chain c.
  const auto step = [&](__mmask16 lanes, size_t i, size_t c) {
#pragma GCC unroll 4
    for (size_t w = 0; w < W; ++w) {
      const std::byte* at = row + (w * apart * k + i) * Format::kBytes;
      // NOLINTNEXTLINE(performance-no-int-to-ptr)
      _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(at) + kAhead), _MM_HINT_T0);
      const __m512 weights = Format::Load(lanes, at);
#pragma GCC unroll 4
      for (size_t r = 0; r < M; ++r) {
        const __m512 numbers = _mm512_maskz_loadu_ps(lanes, input + r * x.float_stride + i);
        sums[w * M + r][c] = _mm512_fmadd_ps(weights, numbers, sums[w * M + r][c]);
      }
    }
  };
  size_t i = 0;
  for (; i + 16 * kChains <= k; i += 16 * kChains) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kChains; ++c) step(0xffff, i + 16 * c, c);
  }
  for (; i < k; i += 16) step(Lanes(k - i), i, 0);
#pragma GCC unroll 4
  for (size_t r = 0; r < M * W; ++r) {
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(sums[r][0], sums[r][1]), _mm512_add_ps(sums[r][2], sums[r][3]));
    out[r % M * DecodeBlock::kColumns + r / M * apart] = _mm512_reduce_add_ps(sum);
  }
}

// Rows m .. m + M of activations times weight rows n_begin .. n_end: out[r * DecodeBlock::kColumns + n - n_begin].
template <typename Format, size_t M>
void MultiplyFloatBlock(const Product& product, size_t n_begin, size_t n_end, size_t m, float* out) {
  const auto row_of = [&product](size_t n) { return product.w->data + n * product.w->k * Format::kBytes; };
  const auto one = [&](size_t n) { MultiplyRow<Format, M>(product, row_of(n), m, out + (n - n_begin)); };
  if constexpr (M == 1) {
    constexpr size_t kStreams = StreamsOf(M);
    const auto many = [&](size_t n, size_t apart) {
      MultiplyRow<Format, M, kStreams>(product, row_of(n), m, out + (n - n_begin), apart);
    };
    ForStreams<kStreams>(n_begin, n_end, many, one);
  } else {
    for (size_t n = n_begin; n < n_end; ++n) one(n);
  }
}

template <typename Format>
void MultiplyRows(const Product& product, const Part& part) {
  ForDecodeBlocks(Target::kAvx512, product, part, [&](size_t n_begin, size_t n_end, size_t m, size_t m_end, float* out) {
    for (; m + kMaxRows <= m_end; m += kMaxRows, out += kMaxRows * DecodeBlock::kColumns) {
      MultiplyFloatBlock<Format, kMaxRows>(product, n_begin, n_end, m, out);
    }
    for (; m < m_end; ++m, out += DecodeBlock::kColumns) MultiplyFloatBlock<Format, 1>(product, n_begin, n_end, m, out);
  });
}

}  // namespace

void MultiplyFloatDecode(const Product& product, const Part& part, Scratch* /*scratch*/) {
  using formats::TensorType;
  switch (product.w->type) {
    case TensorType::kF32: MultiplyRows<F32>(product, part); return;
    case TensorType::kF16: MultiplyRows<F16>(product, part); return;
    case TensorType::kBF16: MultiplyRows<BF16>(product, part); return;
    default: return;
  }
}

}  // namespace damask::kernels::avx512
