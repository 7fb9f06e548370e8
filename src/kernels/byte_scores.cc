#include "kernels/byte_scores.h"

#include <algorithm>

#include "kernels/byte_rounding.h"
#include "kernels/byte_scores_targets.h"

namespace damask::kernels {
namespace {

size_t PairIndex(size_t d, size_t lane) { return (d / 2 * kQuarterTokens + lane) * 2 + d % 2; }

size_t KeyIndex(ByteForm form, size_t dim, size_t d, size_t key) {
  return form == ByteForm::kTiles ? key * dim + d : ByteIndex(d, key);
}

void PlainMaxima(const ByteQuarter& quarter, const ByteQueries& queries, float* largest) {
  for (size_t r = 0; r < queries.rows(); ++r) {
    int32_t sums[kQuarterTokens] = {};
    for (size_t d = 0; d < queries.dim(); ++d) {
      const int32_t q = queries.pairs()[queries.IndexOf(r, d)];
      for (size_t j = 0; j < kQuarterTokens; ++j) sums[j] += q * quarter.bytes[ByteIndex(d, j)];
    }
    largest[r] = static_cast<float>(*std::max_element(sums, sums + kQuarterTokens)) * (queries.scales()[r] * quarter.scale);
  }
  std::fill(largest + queries.rows(), largest + queries.lanes(), 0.0f);
}

#if defined(__x86_64__)
using QuarterMaxima = void (*)(const ByteQuarter& quarter, const ByteQueries& queries, float* largest);

QuarterMaxima BodyOf(Target target, ByteForm form, bool one_row) {
  if (form == ByteForm::kBytes) return one_row ? avx512vnni::ByteMaximumOfRow : avx512vnni::ByteMaximaOfRows;
  if (target >= Target::kAvx2) return one_row ? avx2::ByteMaximumOfRow : avx2::ByteMaximaOfRows;
  return PlainMaxima;
}
#else
constexpr auto BodyOf = [](Target, ByteForm, bool) { return PlainMaxima; };
#endif

}  // namespace

ByteForm ByteFormOf([[maybe_unused]] Target target, [[maybe_unused]] size_t dim) {
#if defined(__x86_64__)
  constexpr size_t kTileDim = 64;
  if (target >= Target::kAmx && dim <= kTileDim) return ByteForm::kTiles;
  if (target >= Target::kAvx512Vnni) return ByteForm::kBytes;
#endif
  return ByteForm::kPairs;
}

void StoreByteQuarter(ByteForm form, const float* keys, size_t dim, int8_t* bytes, int32_t* offsets, float* scale) {
  const float largest = LargestMagnitude(keys, dim * kQuarterTokens);
  const float inverse = InverseByteScale(largest);
  *scale = ByteScale(largest, inverse);
  std::fill_n(offsets, kQuarterTokens, 0);
  for (size_t d = 0; d < dim; ++d) {
    for (size_t j = 0; j < kQuarterTokens; ++j) {
      const int8_t byte = ToByte(keys[d * kQuarterTokens + j], inverse);
      bytes[KeyIndex(form, dim, d, j)] = byte;
      offsets[j] -= kQueryOffset * byte;
    }
  }
}

void LoadByteQuarter(ByteForm form, const ByteQuarter& quarter, size_t dim, float* keys) {
  for (size_t d = 0; d < dim; ++d) {
    for (size_t j = 0; j < kQuarterTokens; ++j) {
      keys[d * kQuarterTokens + j] = quarter.scale * static_cast<float>(quarter.bytes[KeyIndex(form, dim, d, j)]);
    }
  }
}

void ByteQueries::Pack(ByteForm form, const float* q, size_t stride, size_t rows, size_t dim, float scale, ByteLayout layout) {
  layout_ = layout;
  form_ = form;
  rows_ = rows;
  dim_ = dim;
  lanes_ = layout == ByteLayout::kLanes ? LanesOf(rows) : CeilDiv(rows, kQuarterTokens) * kQuarterTokens;
  const size_t numbers = lanes_ * dim;
  switch (form) {
    case ByteForm::kPairs: pairs_.assign(numbers, 0); break;
    case ByteForm::kBytes: bytes_.assign(numbers, kQueryOffset); break;
    case ByteForm::kTiles:
      signed_bytes_.Reserve(numbers);
      std::fill_n(signed_bytes_.data(), numbers, int8_t{0});
      break;
  }
  scales_.assign(lanes_, 0.0f);
  int8_t numbers_of_row[kMaxByteDim] = {};
  for (size_t r = 0; r < rows; ++r) {
    scales_[r] = scale * RoundToBytes(q + r * stride, dim, numbers_of_row);
    StoreRow(r, numbers_of_row);
  }
}

size_t ByteQueries::IndexOf(size_t row, size_t d) const {
  if (lanes_ == 1 || layout_ == ByteLayout::kRows) return row * dim_ + d;
  const size_t lane = row % kQuarterTokens;
  return (row - lane) * dim_ + (form_ == ByteForm::kPairs ? PairIndex(d, lane) : ByteIndex(d, lane));
}

// Numbers that lie together go together: two 16-bit ones, or four bytes.
void ByteQueries::StoreRow(size_t row, const int8_t* numbers) {
  for (size_t d = 0; d < dim_; d += kByteStep) {
    const size_t at = IndexOf(row, d);
    switch (form_) {
      case ByteForm::kPairs:
        std::copy_n(numbers + d, 2, pairs_.data() + at);
        std::copy_n(numbers + d + 2, 2, pairs_.data() + IndexOf(row, d + 2));
        break;
      case ByteForm::kBytes:
        for (size_t i = 0; i < kByteStep; ++i) bytes_[at + i] = static_cast<uint8_t>(numbers[d + i] + kQueryOffset);
        break;
      case ByteForm::kTiles: std::copy_n(numbers + d, kByteStep, signed_bytes_.data() + at); break;
    }
  }
}

void ByteMaxima(Target target, std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest) {
#if defined(__x86_64__)
  if (queries.form() == ByteForm::kTiles) return amx::TileByteMaxima(quarters, queries, largest);
#endif
  const auto body = BodyOf(target, queries.form(), queries.lanes() == 1);
  for (const ByteQuarter& quarter : quarters) {
    body(quarter, queries, largest);
    largest += queries.lanes();
  }
}

}  // namespace damask::kernels
