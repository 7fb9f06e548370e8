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

// out[r * DecodeBlock::kColumns] = row m + r of activations, of M, times one weight row.
template <typename Format, size_t M>
void MultiplyRow(const Product& product, const std::byte* row, size_t m, float* out) {
  constexpr size_t kChains = 4;  // the latency of one sum's chain
  const Activations::Forms& x = *product.x;
  const size_t k = product.w->k;
  const float* input = x.floats.data() + m * x.float_stride;
  __m512 sums[M][kChains];
#pragma GCC unroll 4
  for (size_t r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kChains; ++c) sums[r][c] = _mm512_setzero_ps();
  }
  size_t i = 0;
  for (; i + 16 * kChains <= k; i += 16 * kChains) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kChains; ++c) {
      const std::byte* at = row + (i + 16 * c) * Format::kBytes;
      // NOLINTNEXTLINE(performance-no-int-to-ptr)
      _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(at) + kAhead), _MM_HINT_T0);
      const __m512 w = Format::Load(0xffff, at);
#pragma GCC unroll 4
      for (size_t r = 0; r < M; ++r) {
        sums[r][c] = _mm512_fmadd_ps(w, _mm512_loadu_ps(input + r * x.float_stride + i + 16 * c), sums[r][c]);
      }
    }
  }
  for (; i < k; i += 16) {
    const __m512 w = Format::Load(Lanes(k - i), row + i * Format::kBytes);
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) sums[r][0] = _mm512_fmadd_ps(w, _mm512_loadu_ps(input + r * x.float_stride + i), sums[r][0]);
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < M; ++r) {
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(sums[r][0], sums[r][1]), _mm512_add_ps(sums[r][2], sums[r][3]));
    out[r * DecodeBlock::kColumns] = _mm512_reduce_add_ps(sum);
  }
}

template <typename Format>
void MultiplyRows(const Product& product, const Part& part) {
  const size_t row_bytes = product.w->k * Format::kBytes;
  ForDecodeBlocks(Target::kAvx512, product, part, [&](size_t n, size_t m, size_t m_end, float* out) {
    const std::byte* const row = product.w->data + n * row_bytes;
    for (; m + kMaxRows <= m_end; m += kMaxRows, out += kMaxRows * DecodeBlock::kColumns) {
      MultiplyRow<Format, kMaxRows>(product, row, m, out);
    }
    for (; m < m_end; ++m, out += DecodeBlock::kColumns) MultiplyRow<Format, 1>(product, row, m, out);
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
