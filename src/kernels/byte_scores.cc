#include "kernels/byte_scores.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/byte_scores_targets.h"
#include "kernels/scores.h"

namespace damask::kernels {
namespace {

constexpr size_t kStep = 4;  // numbers that one byte product adds up
constexpr float kLargestByte = 127.0f;
constexpr int kQueryOffset = 128;

float LargestMagnitude(const float* numbers, size_t n) {
  float largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(numbers[i]));
  return largest;
}

// Of 0 and of what is not a number nothing is kept.
float InverseScale(float largest) { return largest > 0 && std::isfinite(largest) ? kLargestByte / largest : 0.0f; }

// The nearest integer to x * inverse, ties to even: the low bits of the sum. What is not a number gives some byte.
int8_t ToByte(float x, float inverse) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  return static_cast<int8_t>(std::bit_cast<uint32_t>(x * inverse + kRound));
}

// What of the queries is multiplied.
enum class Form { kBytes, kPairs, kFloats };

Form FormOf([[maybe_unused]] Target target, [[maybe_unused]] size_t rows) {
#if defined(__x86_64__)
  if (target >= Target::kAvx512Bf16) return Form::kBytes;
  if (target >= Target::kAvx2 && rows > 1) return Form::kPairs;
#endif
  return Form::kFloats;
}

size_t ByteIndex(size_t d, size_t lane) { return (d / kStep * kQuarterTokens + lane) * kStep + d % kStep; }

size_t PairIndex(size_t d, size_t lane) { return (d / 2 * kQuarterTokens + lane) * 2 + d % 2; }

// Bytes as floats are exact, and so are their sums: 256 * 127 * 127 < 2^24.
void MaximaByFloats(Target target, const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  float keys[kMaxByteDim * kQuarterTokens];
  LoadByteQuarter({quarter.bytes, quarter.offsets, 1.0f}, queries.dim(), keys);
  QuarterMaxima(target, keys, queries.dim(), queries.integers(), queries.dim(), queries.rows(), 1.0f, largest, 1);
  for (size_t r = 0; r < queries.rows(); ++r) largest[r] *= queries.scales()[r] * quarter.scale;
  std::fill(largest + queries.rows(), largest + queries.lanes(), 0.0f);
}

}  // namespace

void StoreByteQuarter(const float* keys, size_t dim, int8_t* bytes, int32_t* offsets, float* scale) {
  const float largest = LargestMagnitude(keys, dim * kQuarterTokens);
  const float inverse = InverseScale(largest);
  *scale = inverse > 0 ? largest / kLargestByte : 0.0f;
  std::fill_n(offsets, kQuarterTokens, 0);
  for (size_t d = 0; d < dim; ++d) {
    for (size_t j = 0; j < kQuarterTokens; ++j) {
      const int8_t byte = ToByte(keys[d * kQuarterTokens + j], inverse);
      bytes[ByteIndex(d, j)] = byte;
      offsets[j] -= kQueryOffset * byte;
    }
  }
}

void LoadByteQuarter(const ByteQuarter& quarter, size_t dim, float* keys) {
  for (size_t d = 0; d < dim; ++d) {
    for (size_t j = 0; j < kQuarterTokens; ++j) {
      keys[d * kQuarterTokens + j] = quarter.scale * static_cast<float>(quarter.bytes[ByteIndex(d, j)]);
    }
  }
}

void ByteQueries::Pack(Target target, const float* q, size_t stride, size_t rows, size_t dim, float scale) {
  rows_ = rows;
  dim_ = dim;
  lanes_ = LanesOf(rows);
  const Form form = FormOf(target, rows);
  if (form == Form::kBytes) bytes_.assign(lanes_ * dim, kQueryOffset);
  if (form == Form::kPairs) pairs_.assign(lanes_ * dim, 0);
  if (form == Form::kFloats) integers_.resize(rows * dim);
  scales_.assign(lanes_, 0.0f);
  for (size_t r = 0; r < rows; ++r) {
    const float* const row = q + r * stride;
    const float largest = LargestMagnitude(row, dim);
    const float inverse = InverseScale(largest);
    if (inverse > 0) scales_[r] = scale * (largest / kLargestByte);
    const size_t block = r / kQuarterTokens * kQuarterTokens * dim;
    const size_t lane = r % kQuarterTokens;
    for (size_t d = 0; d < dim; ++d) {
      const int8_t byte = ToByte(row[d], inverse);
      switch (form) {
        case Form::kBytes:
          bytes_[block + (lanes_ == 1 ? d : ByteIndex(d, lane))] = static_cast<uint8_t>(byte + kQueryOffset);
          break;
        // NOLINTNEXTLINE(bugprone-signed-char-misuse): a number, not a character
        case Form::kPairs: pairs_[block + PairIndex(d, lane)] = byte; break;
        case Form::kFloats: integers_[r * dim + d] = static_cast<float>(byte); break;
      }
    }
  }
}

void ByteMaxima(Target target, const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  switch (FormOf(target, queries.rows())) {
#if defined(__x86_64__)
    case Form::kBytes:
      if (queries.lanes() == 1) return avx512bf16::ByteMaximumOfRow(quarter, queries, largest);
      return avx512bf16::ByteMaximaOfRows(quarter, queries, largest);
    case Form::kPairs: return avx2::ByteMaximaOfRows(quarter, queries, largest);
#endif
    default: return MaximaByFloats(target, quarter, queries, largest);
  }
}

}  // namespace damask::kernels
