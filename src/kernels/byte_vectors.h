// Scores of single vectors in 8 bits, for choosing which keys are worth a look (the coarse pass of policies/content_keys.h):
// each vector has a scale of its own, so that one can be added or changed without its neighbours. Numbers as in byte_scores.h:
// `dim` is a multiple of 16, at most kMaxByteDim, and products of bytes are exact in 32 bits.
//
// Lanes are vectors, kByteGroup of them together, and rows go by one after the other; in byte_scores.h it is the other way
// round. Error against float32 scores: each side is rounded to 1/254 of its largest number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "kernels/byte_scores.h"

namespace damask::kernels {

inline constexpr size_t kByteGroup = kQuarterTokens;  // vectors that lie together

// What the target multiplies for that many rows, which are packed with it and ByteLayout::kRows: one would leave tiles nearly
// empty.
inline ByteForm VectorFormOf(Target target, size_t dim, size_t rows) {
  const ByteForm form = ByteFormOf(target, dim);
  return rows == 1 && form == ByteForm::kTiles ? ByteForm::kBytes : form;
}

// Groups of vectors, `count` of them and `step` apart. Not owned.
struct ByteGroups {
  const int8_t* bytes = nullptr;     // [groups][dim / 4][16][4]: a vector's number is its scale times the byte
  const int32_t* offsets = nullptr;  // [groups][16]: -128 times the sum of a vector's bytes, for queries with 128 added
  const float* scales = nullptr;     // [groups][16]
  size_t count = 0;
  size_t step = 1;
};

// Vectors as ByteGroups reads them, growing at their end.
class ByteVectors {
 public:
  // `groups` groups; what is new is zeros.
  void Resize(size_t groups, size_t dim);
  // numbers [dim] as vector `index`.
  void Store(size_t index, const float* numbers);
  // Of groups first, first + step, ... `count` in all.
  ByteGroups Groups(size_t first, size_t count, size_t step = 1) const;
  uint64_t bytes() const {
    return bytes_.capacity() + offsets_.capacity() * sizeof(int32_t) + scales_.capacity() * sizeof(float);
  }

 private:
  size_t dim_ = 0;
  std::vector<int8_t> bytes_;
  std::vector<int32_t> offsets_;
  std::vector<float> scales_;
};

// scores[row * stride + i * 16 + j] = the score of the row with vector j of group i. Every target gives the same bits.
void ByteScores(Target target, const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride);

// best[i * 16 + j] = the largest score - bounds[row] of any row with vector j of group i, for bounds [rows]: with the
// log-sum-exp of each row the logarithm of a vector's largest share. The difference is rounded once, the same bits everywhere.
// Cost of a group and 16 rows: with AMX a product of tiles and 16 maxima; dim / 4 byte products a row with AVX-512 VNNI, dim
// products of 16-bit pairs with AVX2.
void ByteBest(Target target, const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best);

}  // namespace damask::kernels
