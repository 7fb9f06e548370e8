// Decode with AVX2. Quantised weights: 8-bit activations, blocks of 32 (or 16, Q6_K) unpacked to unsigned bytes; vpmaddubsw
// sums pairs in 16 bits, which cannot saturate (63 * 127 * 2 < 2^15; Q8_0 moves the sign to the activations). Float weights:
// float activations. Each row of activations runs the same instructions whatever shares the call.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/k_scales-inl.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels::avx2 {
namespace {

template <typename T>
T ReadAs(const void* at) {
  T value;
  __builtin_memcpy(&value, at, sizeof(T));
  return value;
}

__m256i Load32(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }
__m128i Load16(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }
float Half(const std::byte* at) { return _cvtsh_ss(ReadAs<uint16_t>(at)); }
__m256i LowNibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
__m256i HighNibbles(__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15)); }

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

// One row of activations, and its sums while a weight row goes by.
struct Row {
  const int8_t* q;
  const float* scale;
  const float* scaled_sum;
  __m256 products;
  float rest;  // what offsets and minima bring: one number a block
};

// Bit i of `bits` as 16 in byte i.
__m256i SpreadBits(uint32_t bits) {
  const __m256i source = _mm256_shuffle_epi8(
      _mm256_set1_epi32(static_cast<int>(bits)),
      _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
  const __m256i select = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(source, select), select), _mm256_set1_epi8(16));
}

template <bool kMinimum, bool kFifthBit>
struct SmallBlocks {
  static constexpr size_t kNumbers = 32;
  static constexpr size_t kHeader = 2 + (kMinimum ? 2 : 0);
  static constexpr size_t kBytes = kHeader + (kFifthBit ? 4 : 0) + 16;

  static void Step(const std::byte* block, size_t begin, Row* row) {
    const __m128i packed = Load16(block + kBytes - 16);
    __m256i w = _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
    w = LowNibbles(w);
    if constexpr (kFifthBit) w = _mm256_or_si256(w, SpreadBits(ReadAs<uint32_t>(block + kHeader)));
    const float scale = Half(block);
    const __m256 both = _mm256_set1_ps(scale * row->scale[begin / 32]);
    row->products = _mm256_fmadd_ps(Dot(w, Load32(row->q + begin)), both, row->products);
    const float minimum = kMinimum ? Half(block + 2) : scale * (kFifthBit ? -16.0f : -8.0f);
    row->rest += minimum * row->scaled_sum[begin / 32];
  }
};

struct Q8_0 {
  static constexpr size_t kNumbers = 32;
  static constexpr size_t kBytes = 34;

  static void Step(const std::byte* block, size_t begin, Row* row) {
    const __m256i w = Load32(block + 2);
    const __m256i a = _mm256_sign_epi8(Load32(row->q + begin), w);
    const __m256 both = _mm256_set1_ps(Half(block) * row->scale[begin / 32]);
    row->products = _mm256_fmadd_ps(Dot(_mm256_abs_epi8(w), a), both, row->products);
  }
};

template <bool kFifthBit>
struct NibbleSuperBlocks {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = kFifthBit ? 176 : 144;

  static void Step(const std::byte* block, size_t begin, Row* row) {
    const float d = Half(block);
    const float dmin = Half(block + 2);
    const KScales k = UnpackKScales(block);
    const std::byte* nibbles = block + kBytes - 128;
    const __m256i fifth = kFifthBit ? Load32(block + 16) : _mm256_setzero_si256();
#pragma GCC unroll 8
    for (size_t sub = 0; sub < 8; ++sub) {
      const __m256i bytes = Load32(nibbles + sub / 2 * 32);
      __m256i w = sub % 2 == 0 ? LowNibbles(bytes) : HighNibbles(bytes);
      if constexpr (kFifthBit) {
        const __m256i bit = _mm256_set1_epi8(static_cast<char>(1u << sub));
        const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(fifth, bit), bit);
        w = _mm256_or_si256(w, _mm256_and_si256(set, _mm256_set1_epi8(16)));
      }
      const size_t at = begin / 32 + sub;
      const __m256 both = _mm256_set1_ps(d * static_cast<float>(k.scales[sub]) * row->scale[at]);
      row->products = _mm256_fmadd_ps(Dot(w, Load32(row->q + begin + sub * 32)), both, row->products);
      row->rest -= dmin * static_cast<float>(k.minima[sub]) * row->scaled_sum[at];
    }
  }
};

struct Q6_K {
  static constexpr size_t kNumbers = 256;
  static constexpr size_t kBytes = 210;

  static void Step(const std::byte* block, size_t begin, Row* row) {
    const float d = Half(block + 208);
    const __m256i high_mask = _mm256_set1_epi8(0x30);
#pragma GCC unroll 8
    for (size_t sub = 0; sub < 8; ++sub) {  // 32 numbers, two scales
      const size_t half = sub / 4;
      const size_t quarter = sub % 4;
      const __m256i bytes = Load32(block + half * 64 + quarter % 2 * 32);
      const __m256i pairs = Load32(block + 128 + half * 32);
      const __m256i moved = quarter == 0   ? _mm256_slli_epi16(pairs, 4)
                            : quarter == 1 ? _mm256_slli_epi16(pairs, 2)
                            : quarter == 2 ? pairs
                                           : _mm256_srli_epi16(pairs, 2);
      __m256i w = quarter < 2 ? LowNibbles(bytes) : HighNibbles(bytes);
      w = _mm256_or_si256(w, _mm256_and_si256(moved, high_mask));
      const __m256i a = Load32(row->q + begin + sub * 32);
      const __m256i offset = _mm256_maddubs_epi16(_mm256_set1_epi8(32), a);
      const __m256i sums = _mm256_madd_epi16(_mm256_sub_epi16(_mm256_maddubs_epi16(w, a), offset), _mm256_set1_epi16(1));
      const float scale = d * row->scale[begin / 32 + sub];
      const __m128 low = _mm_set1_ps(scale * static_cast<float>(static_cast<int8_t>(block[192 + 2 * sub])));
      const __m128 high = _mm_set1_ps(scale * static_cast<float>(static_cast<int8_t>(block[193 + 2 * sub])));
      const __m256 both = _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
      row->products = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), both, row->products);
    }
  }
};

template <typename Format>
void MultiplyBlocks(const Product& product, const Part& part) {
  const DecodeRows& d = product.x->decode;
  const size_t k = product.w->k;
  const size_t row_bytes = formats::RowBytes(product.w->type, k);
  for (size_t n = part.n_begin; n < part.n_end; ++n) {
    for (size_t m = part.m_begin; m < part.m_end; ++m) {
      const std::byte* block = product.w->data + n * row_bytes;
      const size_t at = m * d.stride;
      Row row = {d.natural.data() + at, d.scale.data() + at / 32, d.scaled_sum.data() + at / 32, _mm256_setzero_ps(), 0};
      for (size_t begin = 0; begin < k; begin += Format::kNumbers, block += Format::kBytes) Format::Step(block, begin, &row);
      StoreElement(product, m, n, HorizontalSum(row.products) + row.rest);
    }
  }
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

template <typename Format>
float DotFloats(const std::byte* w, const float* x, size_t k) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  size_t i = 0;
  for (; i + 32 <= k; i += 32) {
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; ++c) {
      sums[c] = _mm256_fmadd_ps(Format::Load(w + (i + 8 * c) * Format::kBytes), _mm256_loadu_ps(x + i + 8 * c), sums[c]);
    }
  }
  for (; i + 8 <= k; i += 8) sums[0] = _mm256_fmadd_ps(Format::Load(w + i * Format::kBytes), _mm256_loadu_ps(x + i), sums[0]);
  float sum = HorizontalSum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  for (; i < k; ++i) sum += Format::One(w + i * Format::kBytes) * x[i];
  return sum;
}

template <typename Format>
void MultiplyFloats(const Product& product, const Part& part) {
  const Activations::Forms& x = *product.x;
  for (size_t n = part.n_begin; n < part.n_end; ++n) {
    const std::byte* row = product.w->data + n * product.w->k * Format::kBytes;
    for (size_t m = part.m_begin; m < part.m_end; ++m) {
      StoreElement(product, m, n, DotFloats<Format>(row, x.floats.data() + m * x.float_stride, product.w->k));
    }
  }
}

}  // namespace

void MultiplyDecode(const Product& product, const Part& part, Scratch* /*scratch*/) {
  using formats::TensorType;
  switch (product.w->type) {
    case TensorType::kF32: MultiplyFloats<F32>(product, part); return;
    case TensorType::kF16: MultiplyFloats<F16>(product, part); return;
    case TensorType::kBF16: MultiplyFloats<BF16>(product, part); return;
    case TensorType::kQ8_0: MultiplyBlocks<Q8_0>(product, part); return;
    case TensorType::kQ4_0: MultiplyBlocks<SmallBlocks<false, false>>(product, part); return;
    case TensorType::kQ4_1: MultiplyBlocks<SmallBlocks<true, false>>(product, part); return;
    case TensorType::kQ5_0: MultiplyBlocks<SmallBlocks<false, true>>(product, part); return;
    case TensorType::kQ5_1: MultiplyBlocks<SmallBlocks<true, true>>(product, part); return;
    case TensorType::kQ4_K: MultiplyBlocks<NibbleSuperBlocks<false>>(product, part); return;
    case TensorType::kQ5_K: MultiplyBlocks<NibbleSuperBlocks<true>>(product, part); return;
    case TensorType::kQ6_K: MultiplyBlocks<Q6_K>(product, part); return;
  }
}

}  // namespace damask::kernels::avx2
