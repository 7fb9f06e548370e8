// Decode with AVX-512 VNNI of weights whose nibbles stand for numbers by a table: IQ4_NL, IQ4_XS, MXFP4. Products of bytes want
// them unsigned: the tables here have an offset, whose share the sums of the activations take off again.
#include "kernels/iq4_values.h"
#include "kernels/matvec_avx512-inl.h"
#include "kernels/mxfp4-inl.h"

namespace damask::kernels::avx512bf16 {
namespace {

// The table's numbers plus 2^kOffsetShift, in all four quarters.
template <int kOffsetShift>
__m512i UnsignedTable(const int8_t (&numbers)[16]) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
  return _mm512_broadcast_i32x4(_mm_add_epi8(table, _mm_set1_epi8(static_cast<char>(1u << kOffsetShift))));
}

// Four blocks of 32 nibbles: sums += their products with rows m .. m + M from number `begin` on, times scales `first` ..
// `first`
// + 3 of `both`.
template <int kOffsetShift, size_t M>
void AddFourBlocks(__m512i table, __m512i packed, const DecodeRows& d, size_t m, size_t begin, const __m512 (&both)[M],
                   int first, Sums* sums) {
  const __m512i low = _mm512_shuffle_epi8(table, LowNibbles(packed));
  const __m512i high = _mm512_shuffle_epi8(table, HighNibbles(packed));
#pragma GCC unroll 4
  for (size_t r = 0; r < M; ++r) {
    const size_t at = (m + r) * d.stride + begin;
    __m512i dots = _mm512_slli_epi32(_mm512_loadu_si512(d.halves_sums.data() + at / 8), kOffsetShift);
    dots = _mm512_dpbusd_epi32(dots, low, _mm512_loadu_si512(d.halves.data() + at));
    dots = _mm512_dpbusd_epi32(dots, high, _mm512_loadu_si512(d.halves.data() + at + 64));
    sums[r].products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), SpreadFours(both[r], first), sums[r].products);
  }
}

struct Iq4NlBlocks {
  static constexpr size_t kBytes = 18;
  static constexpr int kOffsetShift = 7;
  static __m512i Table() { return UnsignedTable<kOffsetShift>(kIq4Values); }
  static __m512 Scales(const std::byte* row) { return HalvesOfBlocks<kBytes>(row); }
};

struct Mxfp4Blocks {
  static constexpr size_t kBytes = kMxfp4Bytes;
  static constexpr int kOffsetShift = 4;
  static __m512i Table() { return UnsignedTable<kOffsetShift>(kMxfp4Values); }

  // Mxfp4Scale of sixteen blocks.
  static __m512 Scales(const std::byte* row) {
    alignas(16) uint8_t exponents[16];
    for (size_t i = 0; i < 16; ++i) exponents[i] = static_cast<uint8_t>(row[i * kBytes]);
    const __m512i e = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(exponents)));
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const __m512i denormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __m512i bits = _mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), denormal);
    bits = _mm512_mask_mov_epi32(bits, _mm512_cmpeq_epi32_mask(e, _mm512_set1_epi32(255)), _mm512_set1_epi32(0x7fc00000));
    return _mm512_castsi512_ps(bits);
  }
};

// Blocks of 32 nibbles with a scale before them.
template <typename Blocks>
struct TableBlocks {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 512;
  static constexpr size_t kStepBytes = 16 * Blocks::kBytes;

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    const __m512 scales = Blocks::Scales(row);
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      both[r] = _mm512_mul_ps(scales, _mm512_loadu_ps(d.scale.data() + ((m + r) * d.stride + begin) / kDecodeBlock));
    }
    const __m512i table = Blocks::Table();
#pragma GCC unroll 4
    for (size_t quad = 0; quad < 4; ++quad) {
      const std::byte* const blocks = row + quad * 4 * Blocks::kBytes;
      Prefetch(blocks);
      const __m512i packed = SixteensOfBlocks<Blocks::kBytes>(blocks + Blocks::kBytes - 16);
      AddFourBlocks<Blocks::kOffsetShift, M>(table, packed, d, m, begin + quad * 128, both, static_cast<int>(quad) * 4, sums);
    }
  }
};

// Super-blocks of 256 nibbles with a scale for every 32.
struct Iq4Xs {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 256;
  static constexpr size_t kStepBytes = 136;

  // Of 6 bits: the low four lie in a word of 4 bytes, the high two in one of 2.
  static __m256 Scales(const std::byte* row) {
    const __m256i lows = _mm256_set1_epi32(ReadAs<int32_t>(row + 4));
    const __m256i highs = _mm256_set1_epi32(ReadAs<uint16_t>(row + 2));
    const __m256i low =
        _mm256_and_si256(_mm256_srlv_epi32(lows, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)), _mm256_set1_epi32(15));
    const __m256i high =
        _mm256_and_si256(_mm256_srlv_epi32(highs, _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)), _mm256_set1_epi32(3));
    const __m256i stored = _mm256_or_si256(low, _mm256_slli_epi32(high, 4));
    const __m256 factor = _mm256_set1_ps(_cvtsh_ss(ReadAs<uint16_t>(row)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(stored, _mm256_set1_epi32(32))), factor);
  }

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    const __m256 scales = Scales(row);
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      const __m256 of_row = _mm256_loadu_ps(d.scale.data() + ((m + r) * d.stride + begin) / kDecodeBlock);
      both[r] = _mm512_castps256_ps512(_mm256_mul_ps(scales, of_row));
    }
    const __m512i table = UnsignedTable<7>(kIq4Values);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const std::byte* const nibbles = row + 8 + half * 64;
      Prefetch(nibbles);
      AddFourBlocks<7, M>(table, _mm512_loadu_si512(nibbles), d, m, begin + half * 128, both, static_cast<int>(half) * 4, sums);
    }
  }
};

}  // namespace

void MultiplyTableDecode(const Product& product, const Part& part) {
  using formats::TensorType;
  switch (product.w->type) {
    case TensorType::kIQ4_NL: MultiplyRows<TableBlocks<Iq4NlBlocks>>(product, part); return;
    case TensorType::kIQ4_XS: MultiplyRows<Iq4Xs>(product, part); return;
    case TensorType::kMXFP4: MultiplyRows<TableBlocks<Mxfp4Blocks>>(product, part); return;
    default: return;
  }
}

}  // namespace damask::kernels::avx512bf16
