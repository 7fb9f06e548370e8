// Scores in 8 bits, for choosing keys rather than for attention: 16 keys stand for the largest score of any of them. Keys and
// queries are vectors of `dim` numbers (projected ones: policies/content_keys.h), a multiple of 16, at most kMaxByteDim.
//
// Products of bytes are exact in 32 bits, so every target gives the same numbers. Error against float32 scores: each side is
// rounded to 1/254 of its largest number (a quarter's for keys, a row's for queries).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/checked.h"
#include "base/cpu.h"
#include "kernels/page.h"

namespace damask::kernels {

inline constexpr size_t kMaxByteDim = 256;

// What a target multiplies.
enum class ByteForm {
  kPairs,  // pairs of 16-bit numbers (AVX2, plain code)
  kBytes,  // unsigned bytes of queries by signed ones of keys (AVX-512 VNNI)
  kTiles,  // signed bytes of both (AMX), where dim is at most that of a tile
};
ByteForm ByteFormOf(Target target, size_t dim);

// The keys of one quarter. Not owned.
struct ByteQuarter {
  const int8_t* bytes = nullptr;     // [dim / 4][16 keys][4], for tiles [16 keys][dim]: a key's number is scale * byte
  const int32_t* offsets = nullptr;  // [16]: -128 times the sum of a key's bytes, for queries with 128 added
  float scale = 0;
};

// keys [dim][16], transposed as for QuarterProducts.
void StoreByteQuarter(ByteForm form, const float* keys, size_t dim, int8_t* bytes, int32_t* offsets, float* scale);
void LoadByteQuarter(ByteForm form, const ByteQuarter& quarter, size_t dim, float* keys);

// How query rows lie in memory.
enum class ByteLayout {
  kLanes,  // 16 rows side by side, a single row by itself: for ByteMaxima
  kRows,   // one row after the other: for byte_vectors.h
};

// Query rows as bytes. Keeps its memory from one packing to the next.
class ByteQueries {
 public:
  // q [rows, dim], `stride` floats apart; `scale` multiplies every score.
  void Pack(ByteForm form, const float* q, size_t stride, size_t rows, size_t dim, float scale,
            ByteLayout layout = ByteLayout::kLanes);

  // Of kLanes, and so of results of ByteMaxima: one for a single row, else the rows up to a multiple of 16.
  static size_t LanesOf(size_t rows) { return rows == 1 ? 1 : CeilDiv(rows, kQuarterTokens) * kQuarterTokens; }

  size_t rows() const { return rows_; }
  size_t dim() const { return dim_; }
  size_t lanes() const { return lanes_; }  // of kRows: the rows up to a multiple of 16
  ByteForm form() const { return form_; }
  // Numbers of kRows are [lanes, dim], zeros behind the rows; those of kLanes are
  const uint8_t* bytes() const { return bytes_.data(); }  // [lanes / 16][dim / 4][16][4], or [dim] of a single row; 128 added
  const int8_t* signed_bytes() const { return signed_bytes_.data(); }  // the same without the 128
  const int16_t* pairs() const { return pairs_.data(); }               // [lanes / 16][dim / 2][16][2], or [dim]
  const float* scales() const { return scales_.data(); }               // [lanes]; 0 behind the rows
  // Where number d of a row stands.
  size_t IndexOf(size_t row, size_t d) const;

 private:
  void StoreRow(size_t row, const int8_t* numbers);

  ByteLayout layout_ = ByteLayout::kLanes;
  ByteForm form_ = ByteForm::kPairs;
  size_t rows_ = 0;
  size_t dim_ = 0;
  size_t lanes_ = 0;
  std::vector<uint8_t> bytes_;
  AlignedArray<int8_t> signed_bytes_;
  std::vector<int16_t> pairs_;
  std::vector<float> scales_;
};

// largest[quarter][lane] = the largest score of the row with any key of the quarter; 0 behind the rows. Queries and quarters
// have the target's form. Cost of a quarter and 16 rows: with AMX a product of tiles and 16 maxima; dim / 4 products of bytes
// for each key with AVX-512 VNNI; dim / 2 products of 16-bit pairs for 8 rows with AVX2.
void ByteMaxima(Target target, std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest);

}  // namespace damask::kernels
