// Scores in 8 bits, for choosing keys rather than for attention: 16 keys stand for the largest score of any of them. Keys and
// queries are vectors of `dim` numbers (projected ones: policies/content_keys.h), a multiple of 16, at most kMaxByteDim.
//
// Products of bytes are exact in 32 bits, so every target gives the same numbers. Error against float32 scores: each side is
// rounded to 1/254 of its largest number (a quarter's for keys, a row's for queries).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/checked.h"
#include "base/cpu.h"
#include "kernels/page.h"

namespace damask::kernels {

inline constexpr size_t kMaxByteDim = 256;

// The keys of one quarter. Not owned.
struct ByteQuarter {
  const int8_t* bytes = nullptr;     // [dim / 4][16 keys][4]: a key's number is scale * byte
  const int32_t* offsets = nullptr;  // [16]: -128 times the sum of a key's bytes, as queries are stored with 128 added
  float scale = 0;
};

// keys [dim][16], transposed as for QuarterProducts.
void StoreByteQuarter(const float* keys, size_t dim, int8_t* bytes, int32_t* offsets, float* scale);
void LoadByteQuarter(const ByteQuarter& quarter, size_t dim, float* keys);

// Query rows as ByteMaxima reads them, in that one of two forms that the target multiplies. Keeps its memory from one packing
// to the next.
class ByteQueries {
 public:
  // q [rows, dim], `stride` floats apart; `scale` multiplies every score.
  void Pack(Target target, const float* q, size_t stride, size_t rows, size_t dim, float scale);

  // Results of ByteMaxima: one for a single row, else the rows up to a multiple of 16.
  static size_t LanesOf(size_t rows) { return rows == 1 ? 1 : CeilDiv(rows, kQuarterTokens) * kQuarterTokens; }

  size_t rows() const { return rows_; }
  size_t dim() const { return dim_; }
  size_t lanes() const { return lanes_; }
  const uint8_t* bytes() const { return bytes_.data(); }  // [lanes / 16][dim / 4][16][4], or [dim] of a single row
  const int16_t* pairs() const { return pairs_.data(); }  // [lanes / 16][dim / 2][16][2], or [dim], without the 128
  const float* scales() const { return scales_.data(); }  // [lanes]; 0 behind the rows

 private:
  size_t rows_ = 0;
  size_t dim_ = 0;
  size_t lanes_ = 0;
  std::vector<uint8_t> bytes_;
  std::vector<int16_t> pairs_;
  std::vector<float> scales_;
};

// largest[lane] = the largest score of the row with any key of the quarter; 0 behind the rows. Cost: dim / 4 byte products for
// 16 (row, key) pairs where the CPU has them (AVX-512 VNNI), with AVX2 dim / 2 products of 16-bit pairs for 8.
void ByteMaxima(Target target, const ByteQuarter& quarter, const ByteQueries& queries, float* largest);

}  // namespace damask::kernels
