// Bodies of scores_targets.h in plain C++ that the compiler vectorises; included once per instruction set, inside an anonymous
// namespace, so that no two translation units share code made for different processors.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/scores_targets.h"
#ifdef __AVX512F__
#include "kernels/transpose_avx512-inl.h"
#elif defined(__AVX2__)
#include "kernels/pairs_avx2-inl.h"
#endif

namespace damask::kernels {
namespace {

inline float WidenBf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

const uint16_t* KeyScales(const PageLayout& layout, const std::byte* page, size_t slot) {
  return reinterpret_cast<const uint16_t*>(page + layout.key_scale_offset()) + slot * layout.scale_groups();
}

void TransposeQ8(const PageLayout& layout, const std::byte* page, size_t slot, float* keys) {
  const size_t dim = layout.head_dim;
  const auto* rows = reinterpret_cast<const int8_t*>(page) + slot * dim;
  const uint16_t* scales = KeyScales(layout, page, slot);
  const size_t groups = layout.scale_groups();
  for (size_t group = 0; group < groups; ++group) {
    float factors[kQuarterTokens];
    for (size_t j = 0; j < kQuarterTokens; ++j) factors[j] = WidenBf16(scales[j * groups + group]);
    const size_t end = std::min(dim, (group + 1) * kScaleDims);
    for (size_t d = group * kScaleDims; d < end; ++d) {
      for (size_t j = 0; j < kQuarterTokens; ++j) {
        keys[d * kQuarterTokens + j] = static_cast<float>(rows[j * dim + d]) * factors[j];
      }
    }
  }
}

// Sixteen rows of bf16, `dim` apart.
void TransposeBf16(const uint16_t* rows, size_t dim, float* keys) {
#ifdef __AVX512F__
  // Two dimensions a 32-bit number; the last 16 of an odd number of them are half a register.
  const __m512i odd_dims = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  for (size_t d = 0; d < dim; d += 32) {
    const size_t pairs = dim - d < 32 ? 8 : 16;
    const auto there = static_cast<__mmask16>(pairs == 8 ? 0x00ff : 0xffff);
    __m512i pair[16];
    for (size_t j = 0; j < 16; ++j) pair[j] = _mm512_maskz_loadu_epi32(there, rows + j * dim + d);
    Transpose16(pair);
    for (size_t i = 0; i < pairs; ++i) {
      float* out = keys + (d + 2 * i) * kQuarterTokens;
      _mm512_storeu_si512(out, _mm512_slli_epi32(pair[i], 16));
      _mm512_storeu_si512(out + kQuarterTokens, _mm512_and_si512(pair[i], odd_dims));
    }
  }
#elif defined(__AVX2__)
  const __m256i odd_dims = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  for (size_t d = 0; d < dim; d += 16) {
    for (size_t half = 0; half < kQuarterTokens; half += 8) {
      __m256i pair[8];
      for (size_t j = 0; j < 8; ++j) {
        pair[j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + (half + j) * dim + d));
      }
      Transpose8(pair);
      for (size_t i = 0; i < 8; ++i) {
        float* out = keys + (d + 2 * i) * kQuarterTokens + half;
        _mm256_storeu_ps(out, _mm256_castsi256_ps(_mm256_slli_epi32(pair[i], 16)));
        _mm256_storeu_ps(out + kQuarterTokens, _mm256_castsi256_ps(_mm256_and_si256(pair[i], odd_dims)));
      }
    }
  }
#else
  for (size_t d = 0; d < dim; ++d) {
    for (size_t j = 0; j < kQuarterTokens; ++j) keys[d * kQuarterTokens + j] = WidenBf16(rows[j * dim + d]);
  }
#endif
}

void Transpose(const PageLayout& layout, const std::byte* page, size_t slot, float* keys) {
  const size_t dim = layout.head_dim;
  if (layout.type == KvType::kQ8) return TransposeQ8(layout, page, slot, keys);
  if (layout.type == KvType::kF32) {
    const auto* rows = reinterpret_cast<const float*>(page) + slot * dim;
    for (size_t d = 0; d < dim; ++d) {
      for (size_t j = 0; j < kQuarterTokens; ++j) keys[d * kQuarterTokens + j] = rows[j * dim + d];
    }
    return;
  }
  TransposeBf16(reinterpret_cast<const uint16_t*>(page) + slot * dim, dim, keys);
}

// Sixteen keys side by side. A vector type: of plain loops GCC 12 made gathers across the rows, ten times slower. In two halves
// where a register holds eight: vectors wider than that GCC 12 takes apart and puts together in memory, five times slower.
#ifdef __AVX512F__
constexpr size_t kPartLanes = kQuarterTokens;
using Lanes [[gnu::vector_size(kQuarterTokens * sizeof(float))]] = float;
#else
constexpr size_t kPartLanes = kQuarterTokens / 2;
struct Lanes {
  using Part [[gnu::vector_size(kPartLanes * sizeof(float))]] = float;
  Part low;
  Part high;
};
inline Lanes operator+(const Lanes& a, const Lanes& b) { return {a.low + b.low, a.high + b.high}; }
inline Lanes operator*(const Lanes& a, const Lanes& b) { return {a.low * b.low, a.high * b.high}; }
inline Lanes operator*(float a, const Lanes& b) { return {a * b.low, a * b.high}; }
inline Lanes operator*(const Lanes& a, float b) { return b * a; }
inline Lanes& operator+=(Lanes& a, const Lanes& b) { return a = a + b; }
#endif

// By halves: a struct that is copied as a whole goes through memory, in other pieces than it is read.
inline Lanes LoadLanes(const float* from) {
#ifdef __AVX512F__
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
#else
  Lanes lanes;
  std::memcpy(&lanes.low, from, sizeof(lanes.low));
  std::memcpy(&lanes.high, from + kPartLanes, sizeof(lanes.high));
#endif
  return lanes;
}

inline void StoreLanes(const Lanes& lanes, float* to) {
#ifdef __AVX512F__
  std::memcpy(to, &lanes, sizeof(lanes));
#else
  std::memcpy(to, &lanes.low, sizeof(lanes.low));
  std::memcpy(to + kPartLanes, &lanes.high, sizeof(lanes.high));
#endif
}

// The second where one is NaN.
inline Lanes Larger(const Lanes& a, const Lanes& b) {
#ifdef __AVX512F__
  return a > b ? a : b;
#else
  return {a.low > b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
#endif
}

template <typename Number>
using PartOf [[gnu::vector_size(kPartLanes * sizeof(Number))]] = Number;

inline PartOf<float> WidenPart(const uint16_t* numbers) {
  PartOf<uint16_t> halves;
  std::memcpy(&halves, numbers, sizeof(halves));
  const PartOf<uint32_t> words = __builtin_convertvector(halves, PartOf<uint32_t>) << 16;
  PartOf<float> floats;
  std::memcpy(&floats, &words, sizeof(floats));
  return floats;
}

// By way of integers twice as wide each time: the steps that have instructions.
inline PartOf<float> WidenPart(const int8_t* numbers) {
  PartOf<int8_t> bytes;
  std::memcpy(&bytes, numbers, sizeof(bytes));
  const auto halves = __builtin_convertvector(bytes, PartOf<int16_t>);
  return __builtin_convertvector(__builtin_convertvector(halves, PartOf<int32_t>), PartOf<float>);
}

template <typename Number>
inline Lanes WidenLanes(const Number* numbers) {
#ifdef __AVX512F__
  return WidenPart(numbers);
#else
  return {WidenPart(numbers), WidenPart(numbers + kPartLanes)};
#endif
}

// In pairs: one after the other, each addition would wait for the one before.
inline float SumOfLanes(const Lanes& lanes) {
  float s[kQuarterTokens];
  StoreLanes(lanes, s);
  for (size_t width = kQuarterTokens / 2; width > 0; width /= 2) {
    for (size_t j = 0; j < width; ++j) s[j] += s[j + width];
  }
  return s[0];
}

// Rows at a time, so that each load of keys serves several and their sums do not wait for each other.
#ifdef __AVX512F__
constexpr size_t kRowsAtOnce = 8;
#else
constexpr size_t kRowsAtOnce = 4;
#endif

// Calls row(r, sums) for kRows rows from `first` on: sums[j] = q[r] . keys[.][j].
template <size_t kRows, typename Row>
inline void SumProducts(const float* keys, size_t dim, const float* q, size_t q_stride, size_t first, const Row& row) {
  Lanes sums[kRows] = {};
  for (size_t d = 0; d < dim; ++d) {
    const Lanes key = LoadLanes(keys + d * kQuarterTokens);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) sums[r] += q[(first + r) * q_stride + d] * key;
  }
  for (size_t r = 0; r < kRows; ++r) row(first + r, sums[r]);
}

template <typename Row>
inline void ForEachRow(const float* keys, size_t dim, const float* q, size_t q_stride, size_t rows, const Row& row) {
  size_t first = 0;
  for (; first + kRowsAtOnce <= rows; first += kRowsAtOnce) SumProducts<kRowsAtOnce>(keys, dim, q, q_stride, first, row);
  for (; kRowsAtOnce > 4 && first + 4 <= rows; first += 4) SumProducts<4>(keys, dim, q, q_stride, first, row);
  for (; first < rows; ++first) SumProducts<1>(keys, dim, q, q_stride, first, row);
}

void Products(const float* keys, size_t dim, const float* q, size_t q_stride, size_t rows, float scale, float* out,
              size_t out_stride) {
  ForEachRow(keys, dim, q, q_stride, rows,
             [&](size_t row, const Lanes& sums) { StoreLanes(scale * sums, out + row * out_stride); });
}

inline float LargestOfLanes(const float* lanes) {
  float s[kQuarterTokens];
  std::memcpy(s, lanes, sizeof(s));
  for (size_t width = kQuarterTokens / 2; width > 0; width /= 2) {
    for (size_t j = 0; j < width; ++j) s[j] = s[j] > s[j + width] ? s[j] : s[j + width];
  }
  return s[0];
}

void WidenQ8(const PageLayout& layout, const std::byte* page, size_t slot, size_t count, float* keys) {
  const size_t dim = layout.head_dim;
  const auto* rows = reinterpret_cast<const int8_t*>(page) + slot * dim;
  const uint16_t* scales = KeyScales(layout, page, slot);
  for (size_t row = 0; row < count; ++row) {
    for (size_t d = 0; d < dim; d += kQuarterTokens) {
      const float scale = WidenBf16(scales[row * layout.scale_groups() + d / kScaleDims]);
      StoreLanes(WidenLanes(rows + row * dim + d) * scale, keys + row * dim + d);
    }
  }
}

void Widen(const PageLayout& layout, const std::byte* page, size_t slot, size_t count, float* keys) {
  if (layout.type == KvType::kQ8) return WidenQ8(layout, page, slot, count, keys);
  const size_t n = count * layout.head_dim;
  if (layout.type == KvType::kF32) {
    std::memcpy(keys, reinterpret_cast<const float*>(page) + slot * layout.head_dim, n * sizeof(float));
    return;
  }
  const auto* numbers = reinterpret_cast<const uint16_t*>(page) + slot * layout.head_dim;
  for (size_t i = 0; i < n; ++i) keys[i] = WidenBf16(numbers[i]);
}

void LongProducts(const float* keys, size_t n, const float* q, size_t q_stride, size_t rows, float scale, float* out,
                  size_t out_stride) {
  constexpr size_t kStep = 4 * kQuarterTokens;
  for (size_t row = 0; row < rows; ++row) {
    const float* const numbers = q + row * q_stride;
    Lanes sums[4] = {};
    const auto add = [&](size_t i, size_t b) {
      const size_t at = i + b * kQuarterTokens;
      sums[b] += LoadLanes(keys + at) * LoadLanes(numbers + at);
    };
    size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
#pragma GCC unroll 4
      for (size_t b = 0; b < 4; ++b) add(i, b);
    }
#pragma GCC unroll 3
    for (size_t b = 0; b < 3; ++b) {
      if (i + b * kQuarterTokens < n) add(i, b);
    }
    out[row * out_stride] = scale * SumOfLanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
}

// exp(x) for x in [-87, 0]: 2^n times a polynomial (Taylor, degree 6) of the rest in [-ln2/2, ln2/2]. The large constant rounds
// to an integer and leaves it in the low bits. Of one number, or of a register of them with Bits as wide.
template <typename Bits, typename Float>
inline Float ExpOf(Float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  const Float lowest = Float{} - 87.0f;
  x = x < lowest ? lowest : x;
  const Float shifted = x * 1.44269504f + kRound;
  const Float n = shifted - kRound;
  const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Float p = Float{} + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Bits exponent = (std::bit_cast<Bits>(shifted) - std::bit_cast<uint32_t>(kRound) + 127u) << 23;
  return p * std::bit_cast<Float>(exponent);
}

inline float ExpOfNegative(float x) { return ExpOf<uint32_t>(x); }
// Of the lanes less those of `top`.
inline Lanes ExpOfLess(const Lanes& lanes, const Lanes& top) {
#ifdef __AVX512F__
  return ExpOf<PartOf<uint32_t>>(lanes - top);
#else
  return {ExpOf<PartOf<uint32_t>>(lanes.low - top.low), ExpOf<PartOf<uint32_t>>(lanes.high - top.high)};
#endif
}

double SoftmaxRow(float* scores, size_t n) {
  constexpr size_t kLanes = 16;
  const float lowest = -std::numeric_limits<float>::infinity();
  float best[kLanes];
  std::fill(best, best + kLanes, lowest);
  // Four at a time, so that no maximum waits for the one before.
  Lanes largest[4];
  for (Lanes& lanes : largest) lanes = LoadLanes(best);
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) largest[j] = Larger(largest[j], LoadLanes(scores + i + j * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) largest[0] = Larger(largest[0], LoadLanes(scores + i));
  StoreLanes(Larger(Larger(largest[0], largest[1]), Larger(largest[2], largest[3])), best);
  for (; i < n; ++i) best[0] = std::max(best[0], scores[i]);
  const float top = *std::max_element(best, best + kLanes);
  if (top == lowest) {
    std::fill(scores, scores + n, 0.0f);
    return -std::numeric_limits<double>::infinity();
  }
  std::fill(best, best + kLanes, top);
  const Lanes tops = LoadLanes(best);
  // Sums in lanes of float over short runs, then in double: long rows keep their small parts.
  constexpr size_t kRun = 1024;
  double sum = 0;
  for (size_t begin = 0; begin < n; begin += kRun) {
    const size_t end = std::min(n, begin + kRun);
    Lanes sums = {};
    for (i = begin; i + kLanes <= end; i += kLanes) {
      const Lanes e = ExpOfLess(LoadLanes(scores + i), tops);
      StoreLanes(e, scores + i);
      sums += e;
    }
    float lanes[kLanes];
    StoreLanes(sums, lanes);
    for (; i < end; ++i) {
      scores[i] = ExpOfNegative(scores[i] - top);
      lanes[0] += scores[i];
    }
    for (const float lane : lanes) sum += static_cast<double>(lane);
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (i = 0; i < n; ++i) scores[i] *= inverse;
  return static_cast<double>(top) + std::log(sum);
}

// kBlocks blocks of lanes from `scores` on, of columns `stride` apart, of which the first `rows` lanes are rows.
template <size_t kBlocks>
void SharesOfBlocks(float* scores, size_t columns, size_t stride, size_t rows, float* best) {
  Lanes inverse[kBlocks];
  for (size_t b = 0; b < kBlocks; ++b) {
    float* const block = scores + b * kQuarterTokens;
    Lanes top = LoadLanes(block);
    for (size_t c = 1; c < columns; ++c) top = Larger(top, LoadLanes(block + c * stride));
    Lanes sums = {};
    for (size_t c = 0; c < columns; ++c) {
      const Lanes e = ExpOfLess(LoadLanes(block + c * stride), top);
      StoreLanes(e, block + c * stride);
      sums += e;
    }
    float sum[kQuarterTokens];
    StoreLanes(sums, sum);
    for (size_t j = 0; j < kQuarterTokens; ++j) sum[j] = b * kQuarterTokens + j < rows ? 1.0f / sum[j] : 0.0f;
    inverse[b] = LoadLanes(sum);
  }
  for (size_t c = 0; c < columns; ++c) {
    float* const column = scores + c * stride;
    Lanes largest = {};
    for (size_t b = 0; b < kBlocks; ++b) {
      const Lanes shares = LoadLanes(column + b * kQuarterTokens) * inverse[b];
      StoreLanes(shares, column + b * kQuarterTokens);
      largest = Larger(largest, shares);
    }
    float lanes[kQuarterTokens];
    StoreLanes(largest, lanes);
    const float share = LargestOfLanes(lanes);
    best[c] = best[c] > share ? best[c] : share;
  }
}

void ColumnSharesOfLanes(float* scores, size_t columns, size_t lanes, size_t rows, float* best) {
  constexpr size_t kMany = 4;  // blocks, of a whole query block
  std::fill_n(best, columns, 0.0f);
  size_t lane = 0;
  for (; lane + kMany * kQuarterTokens <= lanes; lane += kMany * kQuarterTokens) {
    SharesOfBlocks<kMany>(scores + lane, columns, lanes, rows > lane ? rows - lane : 0, best);
  }
  for (; lane < lanes; lane += kQuarterTokens) {
    SharesOfBlocks<1>(scores + lane, columns, lanes, rows > lane ? rows - lane : 0, best);
  }
}

constexpr size_t kQuarters = kPageTokens / kQuarterTokens;

// The weights of one page's slots, zeros behind those that exist.
struct PageWeights {
  Lanes of[kQuarters];
};

// Adds to kRows rows of sums [head_dim] lanes, `stride` apart, the V^T lines of dimensions [begin, end) times their weights.
// Each line is widened once for all rows; lanes are added up at the very end.
template <size_t kRows, typename Number>
inline void AddLines(const Number* values, size_t dim, const PageWeights* weights, size_t count, size_t begin, size_t end,
                     float* sums, size_t stride) {
  constexpr size_t kHalf = 32;  // slots of a V^T tile
  const size_t halves = (count + kHalf - 1) / kHalf;
  for (size_t d = begin; d < end; ++d) {
    Lanes sum[kRows];
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) sum[r] = LoadLanes(sums + r * stride + d * kQuarterTokens);
    for (size_t half = 0; half < halves; ++half) {
      const Number* line = values + ValueIndex(dim, half * kHalf, d);
      const Lanes first = WidenLanes(line);
      const Lanes second = WidenLanes(line + kQuarterTokens);
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) {
        sum[r] += weights[r].of[2 * half] * first;
        sum[r] += weights[r].of[2 * half + 1] * second;
      }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) StoreLanes(sum[r], sums + r * stride + d * kQuarterTokens);
  }
}

// A slot's scale is a factor of its weight.
template <size_t kRows>
void AddLinesQ8(const PageLayout& layout, const std::byte* page, const PageWeights* weights, size_t count, float* sums,
                size_t stride) {
  const auto* values = reinterpret_cast<const int8_t*>(page + layout.value_offset());
  const auto* scales = reinterpret_cast<const uint16_t*>(page + layout.value_scale_offset());
  for (size_t group = 0; group < layout.scale_groups(); ++group, scales += kPageTokens) {
    PageWeights scaled[kRows];
    for (size_t i = 0; i < kQuarters; ++i) {
      const Lanes factors = WidenLanes(scales + i * kQuarterTokens);
      for (size_t r = 0; r < kRows; ++r) scaled[r].of[i] = weights[r].of[i] * factors;
    }
    const size_t first = group * kScaleDims;
    AddLines<kRows>(values, layout.head_dim, scaled, count, first, std::min(first + kScaleDims, layout.head_dim), sums, stride);
  }
}

template <size_t kRows>
void AddRows(const PageLayout& layout, const std::byte* page, const float* probabilities, size_t probability_stride,
             size_t count, float* sums, size_t stride) {
  PageWeights weights[kRows] = {};
  for (size_t r = 0; r < kRows; ++r) std::memcpy(weights[r].of, probabilities + r * probability_stride, count * sizeof(float));
  if (layout.type == KvType::kQ8) return AddLinesQ8<kRows>(layout, page, weights, count, sums, stride);
  const auto* values = reinterpret_cast<const uint16_t*>(page + layout.value_offset());
  AddLines<kRows>(values, layout.head_dim, weights, count, 0, layout.head_dim, sums, stride);
}

void AddFloats(const PageLayout& layout, const std::byte* page, const float* probabilities, size_t count, float* sums) {
  const auto* values = reinterpret_cast<const float*>(page + layout.value_offset());
  for (size_t slot = 0; slot < count; ++slot) {
    for (size_t d = 0; d < layout.head_dim; ++d) {
      sums[d * kQuarterTokens] += probabilities[slot] * values[slot * layout.head_dim + d];
    }
  }
}

void AddValues(const PageLayout& layout, const std::byte* page, const float* probabilities, size_t probability_stride,
               size_t rows, size_t count, float* sums) {
  const size_t stride = layout.head_dim * kQuarterTokens;
  size_t row = 0;
  if (layout.type == KvType::kF32) {
    for (; row < rows; ++row) AddFloats(layout, page, probabilities + row * probability_stride, count, sums + row * stride);
    return;
  }
  for (; row + 4 <= rows; row += 4) {
    AddRows<4>(layout, page, probabilities + row * probability_stride, probability_stride, count, sums + row * stride, stride);
  }
  for (; row < rows; ++row) {
    AddRows<1>(layout, page, probabilities + row * probability_stride, probability_stride, count, sums + row * stride, stride);
  }
}

void SumLanes(const float* sums, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = SumOfLanes(LoadLanes(sums + i * kQuarterTokens));
  }
}

constexpr ScoresBody kBody = {Transpose, Products, Widen, LongProducts, SoftmaxRow, ColumnSharesOfLanes, AddValues, SumLanes};

}  // namespace
}  // namespace damask::kernels
