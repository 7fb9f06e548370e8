// Decode with AVX2. Quantised weights: 8-bit activations, blocks of 32 (or 16: Q2_K, Q3_K, Q6_K) unpacked to unsigned bytes;
// vpmaddubsw sums pairs in 16 bits, which cannot saturate (63 * 127 * 2 < 2^15; signed numbers up to 128 leave their sign to
// the activations). Float weights: float activations. Up to kMostRows rows of activations share what is unpacked of a weight
// row; each runs the same instructions whatever shares the call.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/codes_avx2-inl.h"
#include "kernels/decode_blocks-inl.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels::avx2 {
namespace {

float HorizontalSum(__m256 v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
  return _mm_cvtss_f32(sum);
}

// Sums over fours of unsigned w times signed a, as floats.
__m256 Dot(__m256i w, __m256i a) {
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)));
}

constexpr size_t kMostRows = 4;

// Weight bytes ahead of those being read: the prefetchers stop at page borders. Measured on Zen 3 with whole models
// (2026-11-27): Q8_0 decodes 25 % faster than without (192 bytes: 8 %), Q4_K_M 8 %.
constexpr size_t kAhead = 2048;

// The addresses may lie behind the weights: numbers, not pointers into them.
void Prefetch(const std::byte* at, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(at) + kAhead + line), _MM_HINT_T0);
  }
}

// One row of activations, and its sums while a weight row goes by.
struct Row {
  const int8_t* q;
  const float* scale;
  const float* scaled_sum;
  const int16_t* sixteen_sums;
  __m256 products[2];  // two chains of sums: one would wait for itself
  float rest;          // what offsets and minima bring: one number a block
};

// The scales of the eight blocks of a super-block, each times that of the activations beside it.
struct EightScales {
  alignas(32) float of_block[8];
};

// Blocks of 32 codes with a scale and a minimum.
template <class Blocks>
struct SmallSteps : Blocks {
  template <size_t kChain, size_t R>
  static void Step(const std::byte* block, size_t begin, Row (&rows)[R]) {
    const __m256i w = Blocks::Codes(block);
    const float scale = Blocks::Scale(block);
    const float minimum = Blocks::Minimum(block);
    for (Row& row : rows) {
      const __m256 both = _mm256_set1_ps(scale * row.scale[begin / 32]);
      row.products[kChain] = _mm256_fmadd_ps(Dot(w, Load32(row.q + begin)), both, row.products[kChain]);
      row.rest += minimum * row.scaled_sum[begin / 32];
    }
  }
};

// A scale and 32 signed bytes, as they are or by the table of IQ4_NL.
template <bool kByTable>
struct SignedSteps {
  static constexpr size_t kNumbers = 32;
  static constexpr size_t kBytes = kByTable ? 18 : 34;

  template <size_t kChain, size_t R>
  static void Step(const std::byte* block, size_t begin, Row (&rows)[R]) {
    const __m256i w = kByTable ? Iq4Numbers(block + 2) : Load32(block + 2);
    const __m256i magnitude = _mm256_abs_epi8(w);
    const float scale = Half(block);
    for (Row& row : rows) {
      const __m256 both = _mm256_set1_ps(scale * row.scale[begin / 32]);
      const __m256i a = _mm256_sign_epi8(Load32(row.q + begin), w);
      row.products[kChain] = _mm256_fmadd_ps(Dot(magnitude, a), both, row.products[kChain]);
    }
  }
};

// IQ4_XS: a scale for every 32 of 256 signed bytes by the table.
struct TableSteps {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 136;

  template <size_t kChain, size_t R>
  static void Step(const std::byte* block, size_t begin, Row (&rows)[R]) {
    const __m256 of_blocks = _mm256_mul_ps(_mm256_set1_ps(Half(block)), Iq4Scales(block));
    EightScales scales[R];
    for (size_t r = 0; r < R; ++r) {
      _mm256_store_ps(scales[r].of_block, _mm256_mul_ps(of_blocks, _mm256_loadu_ps(rows[r].scale + begin / 32)));
    }
#pragma GCC unroll 8
    for (size_t sub = 0; sub < 8; ++sub) {
      const __m256i w = Iq4Numbers(block + 8 + sub * 16);
      const __m256i magnitude = _mm256_abs_epi8(w);
      for (size_t r = 0; r < R; ++r) {
        const __m256i a = _mm256_sign_epi8(Load32(rows[r].q + begin + sub * 32), w);
        __m256& sum = rows[r].products[sub % 2];
        sum = _mm256_fmadd_ps(Dot(magnitude, a), _mm256_broadcast_ss(scales[r].of_block + sub), sum);
      }
    }
  }
};

template <bool kFifthBit>
struct NibbleSteps : NibbleSuperBlocks<kFifthBit> {
  using Blocks = NibbleSuperBlocks<kFifthBit>;

  template <size_t kChain, size_t R>
  static void Step(const std::byte* block, size_t begin, Row (&rows)[R]) {
    const KScales k = UnpackKScales(block);
    const __m256 of_blocks = Blocks::Scales(block, k);
    const __m256 minima = Blocks::Minima(block, k);
    EightScales scales[R];
    for (size_t r = 0; r < R; ++r) {
      _mm256_store_ps(scales[r].of_block, _mm256_mul_ps(of_blocks, _mm256_loadu_ps(rows[r].scale + begin / 32)));
      // Lanes are blocks here and numbers in the products: all are added at the end.
      __m256& sum = rows[r].products[0];
      sum = _mm256_fnmadd_ps(minima, _mm256_loadu_ps(rows[r].scaled_sum + begin / 32), sum);
    }
#pragma GCC unroll 8
    for (size_t sub = 0; sub < 8; ++sub) {
      const __m256i w = Blocks::Codes(block, sub);
      for (size_t r = 0; r < R; ++r) {
        const __m256 both = _mm256_broadcast_ss(scales[r].of_block + sub);
        __m256& sum = rows[r].products[sub % 2];
        sum = _mm256_fmadd_ps(Dot(w, Load32(rows[r].q + begin + sub * 32)), both, sum);
      }
    }
  }
};

// Sixteen factors of blocks of 16, to be had by pairs.
class FactorPairs {
 public:
  explicit FactorPairs(__m128i factors) {
    const __m128i even_then_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    halves_ = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(factors, even_then_odd));
  }
  // Factor 2 sub as sixteen bits in all of the lower half, 2 sub + 1 in the upper half.
  __m256i Of(size_t sub) const {
    return _mm256_shuffle_epi8(halves_, _mm256_set1_epi16(static_cast<short>(2 * sub * 0x101 + 0x100)));
  }

 private:
  __m256i halves_;
};

// Sums of the activations of 16 times a factor of each, added up by blocks of 32.
__m256 DotOfSums(const Row& row, size_t begin, __m256i factors) {
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(Load32(row.sixteen_sums + begin / 16), factors));
}

// Sums over fours of codes times activations, times the factors of their sixteens. (Q6_K: at most 63 * 127 * 4 * 128.)
__m256 DotOfSixteens(__m256i codes, __m256i a, __m256i factors) {
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_maddubs_epi16(codes, a), factors));
}

// Q2_K, Q3_K, Q6_K.
template <typename Blocks>
struct SixteenSteps : Blocks {
  template <size_t kChain, size_t R>
  static void Step(const std::byte* block, size_t begin, Row (&rows)[R]) {
    const __m256 d = _mm256_set1_ps(Blocks::Scale(block));
    const __m256 dmin = _mm256_set1_ps(Blocks::MinimumScale(block));
    const __m128i own_scales = Blocks::OwnScales(block);
    const __m256i minima = Blocks::OwnMinima(block, own_scales);
    EightScales scales[R];
    for (size_t r = 0; r < R; ++r) {
      const __m256 of_row = _mm256_loadu_ps(rows[r].scale + begin / 32);
      _mm256_store_ps(scales[r].of_block, _mm256_mul_ps(d, of_row));
      const __m256 dot = DotOfSums(rows[r], begin, minima);
      rows[r].products[0] = _mm256_fnmadd_ps(dot, _mm256_mul_ps(dmin, of_row), rows[r].products[0]);
    }
    const FactorPairs factors(own_scales);
#pragma GCC unroll 8
    for (size_t sub = 0; sub < 8; ++sub) {
      const __m256i w = Blocks::Codes(block, sub);
      const __m256i factor = factors.Of(sub);
      for (size_t r = 0; r < R; ++r) {
        const __m256 dot = DotOfSixteens(w, Load32(rows[r].q + begin + sub * 32), factor);
        __m256& sum = rows[r].products[sub % 2];
        sum = _mm256_fmadd_ps(dot, _mm256_broadcast_ss(scales[r].of_block + sub), sum);
      }
    }
  }
};

// out[r * DecodeBlock::kColumns + i * apart] = row m + r of activations, of R, times weight row n + i * apart, of W.
// Inlined into the loop over rows it is 7 % slower for one row of Q4_K (GCC 12).
template <typename Format, size_t R, size_t W>
[[gnu::noinline]] void MultiplyRows(const Product& product, size_t n, size_t m, float* out, size_t apart) {
  const DecodeRows& d = product.x->decode;
  const size_t k = product.w->k;
  const size_t row_bytes = k / Format::kNumbers * Format::kBytes;
  const std::byte* block = product.w->data + n * row_bytes;
  const size_t bytes_apart = apart * row_bytes;
  Row rows[W][R];
  for (size_t i = 0; i < W * R; ++i) {
    const size_t at = (m + i % R) * d.stride;
    rows[i / R][i % R] = {d.natural.data() + at,
                          d.scale.data() + at / 32,
                          d.scaled_sum.data() + at / 32,
                          d.sixteen_sums.data() + at / 16,
                          {_mm256_setzero_ps(), _mm256_setzero_ps()},
                          0};
  }
  size_t begin = 0;
  for (; begin + 2 * Format::kNumbers <= k; begin += 2 * Format::kNumbers, block += 2 * Format::kBytes) {
#pragma GCC unroll 4
    for (size_t i = 0; i < W; ++i) {
      const std::byte* const of_row = block + i * bytes_apart;
      Prefetch(of_row, 2 * Format::kBytes);
      Format::template Step<0>(of_row, begin, rows[i]);
      Format::template Step<1>(of_row + Format::kBytes, begin + Format::kNumbers, rows[i]);
    }
  }
  for (size_t i = 0; i < W && begin < k; ++i) Format::template Step<0>(block + i * bytes_apart, begin, rows[i]);
  for (size_t i = 0; i < W * R; ++i) {
    const Row& row = rows[i / R][i % R];
    out[i % R * DecodeBlock::kColumns + i / R * apart] =
        HorizontalSum(_mm256_add_ps(row.products[0], row.products[1])) + row.rest;
  }
}

template <typename Format>
void MultiplyBlocks(const Product& product, const Part& part) {
  MultiplyByRows<kMostRows>(Target::kAvx2, product, part,
                            [&]<size_t R, size_t W>(size_t n, size_t m, float* out, size_t apart) {
                              MultiplyRows<Format, R, W>(product, n, m, out, apart);
                            });
}

struct F32 {
  static constexpr size_t kBytes = 4;
  static __m256 Load(const std::byte* at) { return _mm256_loadu_ps(reinterpret_cast<const float*>(at)); }
  static float One(const std::byte* at) { return ReadAs<float>(at); }
};

struct F16 {
  static constexpr size_t kBytes = 2;
  static __m256 Load(const std::byte* at) { return _mm256_cvtph_ps(Load16(at)); }
  static float One(const std::byte* at) { return Half(at); }
};

struct BF16 {
  static constexpr size_t kBytes = 2;
  static __m256 Load(const std::byte* at) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(Load16(at)), 16));
  }
  static float One(const std::byte* at) {
    const uint32_t bits = static_cast<uint32_t>(ReadAs<uint16_t>(at)) << 16;
    return ReadAs<float>(&bits);
  }
};

// out[i * apart] = x times the weight row i * apart rows behind `w`, of W.
template <typename Format, size_t W>
void DotFloats(const std::byte* w, const float* x, size_t k, float* out, size_t apart) {
  const auto at = [&](size_t row, size_t i) { return w + (row * apart * k + i) * Format::kBytes; };
  __m256 sums[W][4];
  for (size_t row = 0; row < W; ++row) {
    for (__m256& sum : sums[row]) sum = _mm256_setzero_ps();
  }
  const auto add = [&](size_t i, size_t c) {
#pragma GCC unroll 4
    for (size_t row = 0; row < W; ++row) {
      sums[row][c] = _mm256_fmadd_ps(Format::Load(at(row, i)), _mm256_loadu_ps(x + i), sums[row][c]);
    }
  };
  size_t i = 0;
  for (; i + 32 <= k; i += 32) {
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; ++c) add(i + 8 * c, c);
  }
  for (; i + 8 <= k; i += 8) add(i, 0);
  for (size_t row = 0; row < W; ++row) {
    float sum =
        HorizontalSum(_mm256_add_ps(_mm256_add_ps(sums[row][0], sums[row][1]), _mm256_add_ps(sums[row][2], sums[row][3])));
    for (size_t rest = i; rest < k; ++rest) sum += Format::One(at(row, rest)) * x[rest];
    out[row * apart] = sum;
  }
}

template <typename Format>
void MultiplyFloats(const Product& product, const Part& part) {
  MultiplyByRows<1>(Target::kAvx2, product, part, [&]<size_t R, size_t W>(size_t n, size_t m, float* out, size_t apart) {
    const Activations::Forms& x = *product.x;
    const size_t k = product.w->k;
    DotFloats<Format, W>(product.w->data + n * k * Format::kBytes, x.floats.data() + m * x.float_stride, k, out, apart);
  });
}

}  // namespace

void MultiplyDecode(const Product& product, const Part& part, Scratch* /*scratch*/) {
  using formats::TensorType;
  switch (product.w->type) {
    case TensorType::kF32: MultiplyFloats<F32>(product, part); return;
    case TensorType::kF16: MultiplyFloats<F16>(product, part); return;
    case TensorType::kBF16: MultiplyFloats<BF16>(product, part); return;
    case TensorType::kQ8_0: MultiplyBlocks<SignedSteps<false>>(product, part); return;
    case TensorType::kQ4_0: MultiplyBlocks<SmallSteps<SmallBlocks<false, false>>>(product, part); return;
    case TensorType::kQ4_1: MultiplyBlocks<SmallSteps<SmallBlocks<true, false>>>(product, part); return;
    case TensorType::kQ5_0: MultiplyBlocks<SmallSteps<SmallBlocks<false, true>>>(product, part); return;
    case TensorType::kQ5_1: MultiplyBlocks<SmallSteps<SmallBlocks<true, true>>>(product, part); return;
    case TensorType::kQ2_K: MultiplyBlocks<SixteenSteps<Q2_K>>(product, part); return;
    case TensorType::kQ3_K: MultiplyBlocks<SixteenSteps<Q3_K>>(product, part); return;
    case TensorType::kQ4_K: MultiplyBlocks<NibbleSteps<false>>(product, part); return;
    case TensorType::kQ5_K: MultiplyBlocks<NibbleSteps<true>>(product, part); return;
    case TensorType::kQ6_K: MultiplyBlocks<SixteenSteps<Q6_K>>(product, part); return;
    case TensorType::kIQ4_NL: MultiplyBlocks<SignedSteps<true>>(product, part); return;
    case TensorType::kIQ4_XS: MultiplyBlocks<TableSteps>(product, part); return;
    case TensorType::kMXFP4: MultiplyBlocks<SmallSteps<Mxfp4Blocks>>(product, part); return;
  }
}

}  // namespace damask::kernels::avx2
