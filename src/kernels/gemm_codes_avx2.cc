// Prefill with AVX2, weights of 4 and 5 bits: their codes are multiplied as the file has them (MXFP4's as numbers), exactly, by
// activations of 8 bits with a scale per 32 numbers. Sums of vpmaddubsw stay below 2^15 for a few steps (eight of 15 * 127 * 2,
// four of 31 * 127 * 2), so that two instructions do for 32 products: twice what 16-bit products need. (With codes of 6 bits,
// two steps, nothing is won.)
//
// A panel is kNarrowPanelRows weight rows, block of 32 numbers after block; weight = scale * code + minimum:
//   codes  [halves of 16 rows][8 steps of 4 numbers][16 rows][4]
//   scales [kNarrowPanelRows] floats
//   minima [kNarrowPanelRows] floats
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/codes_avx2-inl.h"
#include "kernels/matmul_targets.h"
#include "kernels/pairs_avx2-inl.h"
#include "kernels/panel_avx2-inl.h"

namespace damask::kernels::avx2 {
namespace {

using formats::TensorType;

constexpr size_t kSteps = kFineBlock / 4;
constexpr size_t kHalfRows = 16;
constexpr size_t kHalfBytes = kFineBlock * kHalfRows;
constexpr size_t kBlockBytes = 2 * kHalfBytes + 2 * kNarrowPanelRows * sizeof(float);
// Numbers of k unpacked at a time: 160 KB of panel, which level-2 caches of 256 KB hold.
constexpr size_t kPieceNumbers = 4096;

size_t BlocksOf(size_t numbers) { return (numbers + kFineBlock - 1) / kFineBlock; }
size_t BytesOf(size_t numbers) { return BlocksOf(numbers) * kBlockBytes; }

// One block of a weight row.
struct RowBlock {
  alignas(32) uint8_t codes[kFineBlock];
  float scale;
  float minimum;
};

// The next blocks of a row, Blocks::kNumbers numbers.
template <class Blocks>
void ReadBlocks(Blocks /*format*/, const std::byte* block, RowBlock* out) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(out->codes), Blocks::Codes(block));
  out->scale = Blocks::Scale(block);
  out->minimum = Blocks::Minimum(block);
}

template <bool kFifthBit>
void ReadBlocks(NibbleSuperBlocks<kFifthBit> /*format*/, const std::byte* block, RowBlock* out) {
  using Blocks = NibbleSuperBlocks<kFifthBit>;
  const KScales k = UnpackKScales(block);
  alignas(32) float scales[8];
  alignas(32) float minima[8];
  _mm256_store_ps(scales, Blocks::Scales(block, k));
  _mm256_store_ps(minima, _mm256_xor_ps(Blocks::Minima(block, k), _mm256_set1_ps(-0.0f)));
#pragma GCC unroll 8
  for (size_t sub = 0; sub < 8; ++sub) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out[sub].codes), Blocks::Codes(block, sub));
    out[sub].scale = scales[sub];
    out[sub].minimum = minima[sub];
  }
}

// Blocks of 8 weight rows, [8][stride], into lanes `vector` of the panel.
void PackRows(const RowBlock* rows, size_t stride, size_t blocks, size_t vector, std::byte* panel) {
  for (size_t block = 0; block < blocks; ++block, panel += kBlockBytes) {
    __m256i codes[8];
#pragma GCC unroll 8
    for (size_t r = 0; r < 8; ++r) codes[r] = Load32(rows[r * stride + block].codes);
    Transpose8(codes);
    auto* out = reinterpret_cast<__m256i*>(panel + vector / 2 * kHalfBytes) + vector % 2;
#pragma GCC unroll 8
    for (size_t step = 0; step < kSteps; ++step) _mm256_store_si256(out + 2 * step, codes[step]);
    auto* scales = reinterpret_cast<float*>(panel + 2 * kHalfBytes) + vector * kVectorLanes;
    for (size_t r = 0; r < 8; ++r) {
      scales[r] = rows[r * stride + block].scale;
      scales[kNarrowPanelRows + r] = rows[r * stride + block].minimum;
    }
  }
}

template <class Format>
void UnpackPanel(const WeightView& w, size_t n_begin, size_t n_end, Piece piece, Scratch* scratch, std::byte* panel) {
  const size_t values = piece.end - piece.begin;
  const size_t blocks = BlocksOf(values);
  const size_t stride = blocks + 1;  // rows do not share cache sets
  scratch->rows.Reserve(8 * stride * sizeof(RowBlock) / sizeof(float));
  auto* rows = reinterpret_cast<RowBlock*>(scratch->rows.data());
  for (size_t vector = 0; vector < kNarrowPanelRows / kVectorLanes; ++vector) {
    for (size_t r = 0; r < kVectorLanes; ++r) {
      const size_t n = n_begin + vector * kVectorLanes + r;
      RowBlock* out = rows + r * stride;
      if (n >= n_end) {
        __builtin_memset(static_cast<void*>(out), 0, blocks * sizeof(RowBlock));
        continue;
      }
      const std::byte* block = w.data + n * formats::RowBytes(w.type, w.k) + formats::RowBytes(w.type, piece.begin);
      for (size_t i = 0; i < values; i += Format::kNumbers, block += Format::kBytes) {
        ReadBlocks(Format(), block, out + i / kFineBlock);
      }
    }
    PackRows(rows, stride, blocks, vector, panel);
  }
}

// sum += sums of neighbours of codes * a. In one piece: GCC computes several products before it adds them, and spills the sums.
inline void AddCodePairs(__m256i codes, __m256i a, __m256i* sum) {
  __m256i product;
  asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(*sum), "=&x"(product) : "x"(codes), "x"(a));
}

// R rows of activations times kGroup steps of one half of a block: exact sums of 16 bits, in registers.
template <size_t kGroup, int R>
inline void MultiplySteps(const std::byte* codes, const int8_t* x, size_t x_stride, __m256i (&sums)[R][2]) {
#pragma GCC unroll 8
  for (size_t step = 0; step < kGroup; ++step) {
    const auto* at = reinterpret_cast<const __m256i*>(codes) + 2 * step;
    const __m256i w0 = _mm256_load_si256(at);
    const __m256i w1 = _mm256_load_si256(at + 1);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m256i a = _mm256_set1_epi32(ReadAs<int32_t>(x + static_cast<size_t>(r) * x_stride + step * 4));
      if (step == 0) {
        sums[r][0] = _mm256_maddubs_epi16(w0, a);
        sums[r][1] = _mm256_maddubs_epi16(w1, a);
      } else {
        AddCodePairs(w0, a, &sums[r][0]);
        AddCodePairs(w1, a, &sums[r][1]);
      }
    }
  }
}

// The rows of activations that a tile is made of, from some block on.
struct TileRows {
  const int8_t* q;
  const float* factors;
  size_t stride;
};

// R rows of activations times the panel: sums over blocks in float, in tile [R][kNarrowPanelRows].
template <size_t kGroup, int R>
[[gnu::noinline]] void MultiplyTile(const std::byte* panel, size_t blocks, TileRows rows, float* tile) {
  for (size_t i = 0; i < R * kNarrowPanelRows; i += 8) _mm256_store_ps(tile + i, _mm256_setzero_ps());
  const float* factors = rows.factors;
  for (size_t block = 0; block < blocks; ++block, panel += kBlockBytes, factors += 2 * kTileRows) {
    for (size_t half = 0; half < 2; ++half) {
      const auto* scales = reinterpret_cast<const float*>(panel + 2 * kHalfBytes) + half * kHalfRows;
      for (size_t step = 0; step < kSteps; step += kGroup) {
        __m256i sums[R][2];
        MultiplySteps<kGroup, R>(panel + half * kHalfBytes + step * 64, rows.q + block * kFineBlock + step * 4, rows.stride,
                                 sums);
        // GCC would keep the tile in registers too, and spill the sums inside the loop.
        // And it would keep the addresses of all factors on the stack.
        const float* of_rows = factors;
        asm volatile("" : "+r"(of_rows)::"memory");
#pragma GCC unroll 6
        for (size_t r = 0; r < R; ++r) {
          const __m256 scale = _mm256_broadcast_ss(of_rows + r);
          const __m256 scaled_sum = _mm256_broadcast_ss(of_rows + kTileRows + r);
#pragma GCC unroll 2
          for (size_t v = 0; v < 2; ++v) {
            float* at = tile + r * kNarrowPanelRows + half * kHalfRows + v * kVectorLanes;
            const float* of_weights = scales + v * kVectorLanes;
            __m256 sum = _mm256_load_ps(at);
            if (step == 0) sum = _mm256_fmadd_ps(scaled_sum, _mm256_load_ps(of_weights + kNarrowPanelRows), sum);
            const __m256 products = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums[r][v], _mm256_set1_epi16(1)));
            _mm256_store_ps(at, _mm256_fmadd_ps(_mm256_mul_ps(products, scale), _mm256_load_ps(of_weights), sum));
          }
        }
      }
    }
  }
}

template <size_t kGroup>
void MultiplyRows(const std::byte* panel, size_t blocks, const TileRows& x, size_t rows, float* tile) {
  WithRows(rows, [&]<int R>(RowCount<R>) { MultiplyTile<kGroup, R>(panel, blocks, x, tile); });
}

struct Steps {
  void (*unpack)(const WeightView& w, size_t n_begin, size_t n_end, Piece piece, Scratch* scratch, std::byte* panel);
  void (*multiply)(const std::byte* panel, size_t blocks, const TileRows& x, size_t rows, float* tile);
};

Steps StepsOf(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0: return {UnpackPanel<SmallBlocks<false, false>>, MultiplyRows<8>};
    case TensorType::kQ4_1: return {UnpackPanel<SmallBlocks<true, false>>, MultiplyRows<8>};
    case TensorType::kQ5_0: return {UnpackPanel<SmallBlocks<false, true>>, MultiplyRows<4>};
    case TensorType::kQ5_1: return {UnpackPanel<SmallBlocks<true, true>>, MultiplyRows<4>};
    case TensorType::kMXFP4: return {UnpackPanel<Mxfp4Blocks>, MultiplyRows<4>};  // codes up to 24
    case TensorType::kQ4_K: return {UnpackPanel<NibbleSuperBlocks<false>>, MultiplyRows<8>};
    default: return {UnpackPanel<NibbleSuperBlocks<true>>, MultiplyRows<4>};  // Q5_K
  }
}

}  // namespace

size_t CodePanelBytes(const WeightView& w) { return BytesOf(w.k); }

void PackCodePanel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out) {
  StepsOf(w.type).unpack(w, n_begin, n_end, Piece{0, w.k}, scratch, out);
}

void MultiplyCodes(const Product& product, const Part& part, Scratch* scratch) {
  const FineRows& x = product.x->fine;
  const Steps steps = StepsOf(product.w->type);
  const auto unpack = [&](Piece piece, std::byte* to) {
    steps.unpack(*product.w, part.n_begin, part.n_end, piece, scratch, to);
  };
  const auto multiply = [&](const std::byte* panel, Piece piece, size_t m, size_t rows, float* tile) {
    const TileRows of_tile = {x.q.data() + m * x.stride + piece.begin,
                              x.factors.data() + x.FactorAt(m, piece.begin / kFineBlock), x.stride};
    steps.multiply(panel, BlocksOf(piece.end - piece.begin), of_tile, rows, tile);
  };
  MultiplyPanel(product, part, scratch, kPieceNumbers, BytesOf, unpack, multiply);
}

}  // namespace damask::kernels::avx2
