#include "kernels/byte_vectors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/byte_rounding.h"
#include "kernels/byte_vectors_targets.h"

namespace damask::kernels {
namespace {

// use(vector of the group, exact product, what makes a score of it) for a row and the group that is `group` single ones
// further.
template <typename Use>
void ForProducts(const ByteGroups& groups, size_t group, const ByteQueries& rows, size_t row, const Use& use) {
  const size_t dim = rows.dim();
  const int8_t* const bytes = groups.bytes + group * dim * kByteGroup;
  const float* const scales = groups.scales + group * kByteGroup;
  for (size_t j = 0; j < kByteGroup; ++j) {
    int32_t sum = 0;
    for (size_t d = 0; d < dim; ++d) sum += int32_t{rows.pairs()[row * dim + d]} * bytes[ByteIndex(d, j)];
    use(j, static_cast<float>(sum), rows.scales()[row] * scales[j]);
  }
}

void PlainVectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  for (size_t i = 0; i < groups.count; ++i) {
    for (size_t r = 0; r < rows.rows(); ++r) {
      float* const out = scores + r * stride + i * kByteGroup;
      ForProducts(groups, i * groups.step, rows, r, [&](size_t j, float sum, float scale) { out[j] = sum * scale; });
    }
  }
}

void PlainVectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  std::fill_n(best, groups.count * kByteGroup, -std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < groups.count; ++i, best += kByteGroup) {
    for (size_t r = 0; r < rows.rows(); ++r) {
      ForProducts(groups, i * groups.step, rows, r,
                  [&](size_t j, float sum, float scale) { best[j] = std::max(best[j], std::fma(sum, scale, -bounds[r])); });
    }
  }
}

}  // namespace

void ByteVectors::Resize(size_t groups, size_t dim) {
  dim_ = dim;
  bytes_.resize(groups * kByteGroup * dim);
  offsets_.resize(groups * kByteGroup);
  scales_.resize(groups * kByteGroup);
}

void ByteVectors::Store(size_t index, const float* numbers) {
  int8_t bytes[kMaxByteDim] = {};
  scales_[index] = RoundToBytes(numbers, dim_, bytes);
  int8_t* const group = bytes_.data() + index / kByteGroup * kByteGroup * dim_;
  for (size_t d = 0; d < dim_; ++d) group[ByteIndex(d, index % kByteGroup)] = bytes[d];
  offsets_[index] = -kQueryOffset * std::accumulate(bytes, bytes + dim_, 0);
}

ByteGroups ByteVectors::Groups(size_t first, size_t count, size_t step) const {
  const size_t vector = first * kByteGroup;
  return {bytes_.data() + vector * dim_, offsets_.data() + vector, scales_.data() + vector, count, step};
}

void ByteScores([[maybe_unused]] Target target, const ByteGroups& groups, const ByteQueries& rows, float* scores,
                size_t stride) {
#if defined(__x86_64__)
  if (rows.form() == ByteForm::kTiles) return amx::VectorScores(groups, rows, scores, stride);
  if (rows.form() == ByteForm::kBytes) return avx512vnni::VectorScores(groups, rows, scores, stride);
  if (target >= Target::kAvx2) return avx2::VectorScores(groups, rows, scores, stride);
#endif
  PlainVectorScores(groups, rows, scores, stride);
}

void ByteBest([[maybe_unused]] Target target, const ByteGroups& groups, const ByteQueries& rows, const float* bounds,
              float* best) {
#if defined(__x86_64__)
  if (rows.form() == ByteForm::kTiles) return amx::VectorBest(groups, rows, bounds, best);
  if (rows.form() == ByteForm::kBytes) return avx512vnni::VectorBest(groups, rows, bounds, best);
  if (target >= Target::kAvx2) return avx2::VectorBest(groups, rows, bounds, best);
#endif
  PlainVectorBest(groups, rows, bounds, best);
}

}  // namespace damask::kernels
