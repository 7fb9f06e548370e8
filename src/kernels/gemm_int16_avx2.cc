// Prefill with AVX2, weights of any type: both sides are rounded to 13 bits with one scale per row and block of kFixedBlock
// numbers, and vpmaddwd multiplies sixteen pairs at a time. With the addition that it needs this is 1.5 times (Zen 3) what
// float32 multiply-adds do. 4095 * 4095 * 128 < 2^31, so that the sums of a block are exact.
//
// A panel is kNarrowPanelRows weight rows, block after block:
//   numbers [halves of 16 rows][steps of 2 numbers][16 rows][2]
//   scales  [kNarrowPanelRows] floats
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/fixed_avx2-inl.h"
#include "kernels/matmul_targets.h"
#include "kernels/pairs_avx2-inl.h"
#include "kernels/panel_avx2-inl.h"
#include "kernels/quant_targets.h"

namespace damask::kernels::avx2 {
namespace {

constexpr size_t kHalfRows = 16;
constexpr size_t kSteps = kFixedBlock / 2;
constexpr size_t kHalfBytes = kFixedBlock * kHalfRows * sizeof(int16_t);
constexpr size_t kBlockBytes = 2 * kHalfBytes + kNarrowPanelRows * sizeof(float);
// Numbers of k unpacked at a time: 128 KB of panel, which level-2 caches of 256 KB hold.
constexpr size_t kPieceNumbers = 2048;

size_t BlocksOf(size_t numbers) { return (numbers + kFixedBlock - 1) / kFixedBlock; }
size_t BytesOf(size_t numbers) { return BlocksOf(numbers) * kBlockBytes; }

// Rounds blocks of 8 rows, floats [8][stride], into lanes `vector` of the panel.
void PackRows(const float* floats, size_t stride, size_t blocks, size_t vector, std::byte* panel) {
  for (size_t block = 0; block < blocks; ++block, floats += kFixedBlock, panel += kBlockBytes) {
    float* scales = reinterpret_cast<float*>(panel + 2 * kHalfBytes) + vector * kVectorLanes;
    __m256 inverse[8];
    for (size_t r = 0; r < 8; ++r) inverse[r] = _mm256_set1_ps(FixedScale(floats + r * stride, scales + r));
    auto* out = reinterpret_cast<int16_t*>(panel + vector / 2 * kHalfBytes) + vector % 2 * (2 * kVectorLanes);
    for (size_t i = 0; i < kFixedBlock; i += 16, out += 8 * 2 * kHalfRows) {
      __m256i rows[8];
#pragma GCC unroll 8
      for (size_t r = 0; r < 8; ++r) rows[r] = RoundSixteen(floats + r * stride + i, inverse[r]);
      Transpose8(rows);
#pragma GCC unroll 8
      for (size_t j = 0; j < 8; ++j) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(out + kRoundedPair[j] * 2 * kHalfRows), rows[j]);
      }
    }
  }
}

void UnpackPanel(const WeightView& w, size_t n_begin, size_t n_end, Piece piece, Scratch* scratch, std::byte* panel) {
  const size_t values = piece.end - piece.begin;
  const size_t blocks = BlocksOf(values);
  const size_t stride = blocks * kFixedBlock + 16;  // rows do not share cache sets
  const size_t row_bytes = formats::RowBytes(w.type, w.k);
  const size_t offset = formats::RowBytes(w.type, piece.begin);
  scratch->rows.Reserve(8 * stride);
  float* floats = scratch->rows.data();
  for (size_t vector = 0; vector < kNarrowPanelRows / kVectorLanes; ++vector) {
    for (size_t r = 0; r < kVectorLanes; ++r) {
      const size_t n = n_begin + vector * kVectorLanes + r;
      const size_t filled = n < n_end ? values : 0;
      if (filled != 0) DequantizeRow(w.type, w.data + n * row_bytes + offset, values, floats + r * stride);
      for (size_t i = filled; i < blocks * kFixedBlock; ++i) floats[r * stride + i] = 0;
    }
    PackRows(floats, stride, blocks, vector, panel);
  }
}

// R rows of activations times one half of a block of the panel: exact sums, in registers.
template <int R>
inline void MultiplyHalf(const std::byte* weights, const int16_t* x, size_t x_stride, __m256i (&sums)[R][2]) {
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 2
  for (size_t step = 0; step < kSteps; ++step) {
    const auto* at = reinterpret_cast<const __m256i*>(weights) + 2 * step;
    const __m256i w0 = _mm256_load_si256(at);
    const __m256i w1 = _mm256_load_si256(at + 1);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m256i a = BroadcastPair(x + static_cast<size_t>(r) * x_stride + step * 2);
      AddPairs(w0, a, &sums[r][0]);
      AddPairs(w1, a, &sums[r][1]);
    }
  }
}

// R rows of activations times the panel: sums over blocks in float, in tile [R][kNarrowPanelRows].
template <int R>
[[gnu::noinline]] void MultiplyTile(const std::byte* panel, size_t blocks, const int16_t* x, size_t x_stride,
                                    const float* x_scale, size_t x_blocks, float* tile) {
  for (size_t i = 0; i < R * kNarrowPanelRows; i += 8) _mm256_store_ps(tile + i, _mm256_setzero_ps());
  for (size_t block = 0; block < blocks; ++block, panel += kBlockBytes) {
    const auto* scales = reinterpret_cast<const float*>(panel + 2 * kHalfBytes);
    for (size_t half = 0; half < 2; ++half) {
      __m256i sums[R][2];
      MultiplyHalf<R>(panel + half * kHalfBytes, x + block * kFixedBlock, x_stride, sums);
      // GCC would keep the tile in registers too, and spill the sums inside the loop.
      asm volatile("" ::: "memory");
#pragma GCC unroll 6
      for (size_t r = 0; r < R; ++r) {
        const __m256 scale = _mm256_set1_ps(x_scale[r * x_blocks + block]);
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; ++v) {
          const size_t column = half * kHalfRows + v * kVectorLanes;
          float* at = tile + r * kNarrowPanelRows + column;
          const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][v]), scale);
          _mm256_store_ps(at, _mm256_fmadd_ps(scaled, _mm256_load_ps(scales + column), _mm256_load_ps(at)));
        }
      }
    }
  }
}

}  // namespace

size_t Int16PanelBytes(const WeightView& w) { return BytesOf(w.k); }

void PackInt16Panel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out) {
  UnpackPanel(w, n_begin, n_end, Piece{0, w.k}, scratch, out);
}

void MultiplyInt16(const Product& product, const Part& part, Scratch* scratch) {
  const FixedRows& x = product.x->fixed;
  const auto unpack = [&](Piece piece, std::byte* to) {
    UnpackPanel(*product.w, part.n_begin, part.n_end, piece, scratch, to);
  };
  const auto multiply = [&](const std::byte* panel, Piece piece, size_t m, size_t rows, float* tile) {
    WithRows(rows, [&]<int R>(RowCount<R>) {
      MultiplyTile<R>(panel, BlocksOf(piece.end - piece.begin), x.q.data() + m * x.stride + piece.begin, x.stride,
                      x.scale.data() + m * x.blocks + piece.begin / kFixedBlock, x.blocks, tile);
    });
  };
  MultiplyPanel(product, part, scratch, kPieceNumbers, BytesOf, unpack, multiply);
}

}  // namespace damask::kernels::avx2
