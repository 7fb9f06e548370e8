// Decode with AVX-512 VNNI of weights whose nibbles stand for numbers by a table: IQ4_NL, IQ4_XS, MXFP4. Products of bytes want
// them unsigned: the tables here have an offset, whose share the sums of the activations take off again.
#include "kernels/iq4_values.h"
#include "kernels/matvec_avx512-inl.h"
#include "kernels/mxfp4-inl.h"

namespace damask::kernels::avx512vnni {
namespace {

// The table's numbers plus 2^kOffsetShift, in all four quarters.
template <int kOffsetShift>
__m512i UnsignedTable(const int8_t (&numbers)[16]) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
  return _mm512_broadcast_i32x4(_mm_add_epi8(table, _mm_set1_epi8(static_cast<char>(1u << kOffsetShift))));
}

// As AddFourBlocks, of nibbles.
template <int kOffsetShift, size_t M>
[[gnu::always_inline]] inline void AddFourByTable(__m512i table, __m512i packed, const DecodeRows& d, size_t m, size_t begin,
                                                  const __m512 (&scales)[M], int first, Sums* sums) {
  const __m512i low = _mm512_shuffle_epi8(table, LowNibbles(packed));
  const __m512i high = _mm512_shuffle_epi8(table, HighNibbles(packed));
  AddFourBlocks<kOffsetShift, M>(low, high, d, m, begin, scales, first, sums);
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
      AddFourByTable<Blocks::kOffsetShift, M>(table, packed, d, m, begin + quad * 128, both, static_cast<int>(quad) * 4, sums);
    }
  }
};

// Super-blocks of 256 nibbles with a scale for every 32.
struct Iq4Xs {
  static constexpr size_t kRows = kRowsOfPacked;
  static constexpr size_t kStepNumbers = 256;
  static constexpr size_t kStepBytes = 136;

  template <size_t M>
  static void Step(const std::byte* row, const Forms& x, size_t m, size_t begin, Sums* sums) {
    const DecodeRows& d = x.decode;
    const __m256 scales = _mm256_mul_ps(_mm256_set1_ps(Half(row)), Iq4Scales(row));
    __m512 both[M];
#pragma GCC unroll 4
    for (size_t r = 0; r < M; ++r) {
      const __m256 of_row = _mm256_loadu_ps(d.scale.data() + ((m + r) * d.stride + begin) / kDecodeBlock);
      both[r] = _mm512_castps256_ps512(_mm256_mul_ps(scales, of_row));
    }
    const __m512i table = Iq4NlBlocks::Table();
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const std::byte* const nibbles = row + 8 + half * 64;
      Prefetch(nibbles);
      AddFourByTable<Iq4NlBlocks::kOffsetShift, M>(table, _mm512_loadu_si512(nibbles), d, m, begin + half * 128, both,
                                                   static_cast<int>(half) * 4, sums);
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

}  // namespace damask::kernels::avx512vnni
