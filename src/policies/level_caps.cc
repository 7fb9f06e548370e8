#include "policies/level_caps.h"

#include <algorithm>
#include <cmath>

namespace damask::policies {
namespace {

using kernels::kPageTokens;

double Product(const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t d = 0; d < dim; ++d) sum += static_cast<double>(a[d]) * static_cast<double>(b[d]);
  return sum;
}

// 0 where one of them is.
double Cosine(const float* a, const float* b, size_t dim) {
  const double norms = Product(a, a, dim) * Product(b, b, dim);
  return norms > 0 ? Product(a, b, dim) / std::sqrt(norms) : 0.0;
}

// Mean over the groups of 1 << shift keys of the cosine between their first and their last.
double Likeness(const std::vector<float>& keys, size_t dim, size_t shift) {
  const size_t run = size_t{1} << shift;
  double sum = 0;
  for (size_t first = 0; first < kPyramidBlock; first += run) {
    sum += Cosine(keys.data() + first * dim, keys.data() + (first + run - 1) * dim, dim);
  }
  return sum * static_cast<double>(run) / static_cast<double>(kPyramidBlock);
}

}  // namespace

void LevelCaps::Append(const KeyPages& keys, const LikenessThresholds& thresholds, uint64_t first, uint64_t end) {
  Truncate(first);
  for (uint64_t block = shifts_.size(); block < end / kPyramidBlock; ++block) {
    shifts_.push_back(Measure(keys, thresholds, block));
  }
}

void LevelCaps::Truncate(uint64_t length) { shifts_.resize(std::min<size_t>(shifts_.size(), length / kPyramidBlock)); }

uint8_t LevelCaps::Measure(const KeyPages& keys, const LikenessThresholds& thresholds, uint64_t block) {
  const size_t dim = keys.layout->head_dim;
  keys_.resize(kPyramidBlock * dim);
  for (size_t i = 0; i < kPyramidBlock; ++i) {
    const uint64_t position = block * kPyramidBlock + i;
    const std::byte* const page = keys.pages[position / kPageTokens];
    if (page == nullptr) return 0;
    kernels::LoadKey(*keys.layout, page, position % kPageTokens, keys_.data() + i * dim);
  }
  for (size_t shift = kernels::kMaxPoolShift; shift > 0; --shift) {
    if (Likeness(keys_, dim, shift) > thresholds[shift - 1]) return static_cast<uint8_t>(shift);
  }
  return 0;
}

}  // namespace damask::policies
