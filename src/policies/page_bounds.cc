#include "policies/page_bounds.h"

#include <algorithm>
#include <limits>

namespace damask::policies {
namespace {

constexpr size_t kStrip = 256;  // pages at a time, so that the scores of 64 rows stay in L2

}  // namespace

void PageBounds::Append(const KeyPages& keys, uint64_t first, uint64_t end) {
  lowest_.Append(keys, first, end);
  highest_.Append(keys, first, end);
}

void PageBounds::Truncate(uint64_t length) {
  lowest_.Truncate(length);
  highest_.Truncate(length);
}

// max(q lowest, q highest) is q highest where q is positive and q lowest where it is negative: two plain products.
void PageBounds::Upper(Target target, const QueryRows& queries, size_t head, Scratch* scratch,
                       std::vector<float>* bounds) const {
  const kernels::PageLayout& layout = lowest_.layout();
  const size_t dim = layout.head_dim;
  const size_t rows = queries.rows;
  scratch->positive.resize(rows * dim);
  scratch->negative.resize(rows * dim);
  for (size_t row = 0; row < rows; ++row) {
    const float* q = queries.row(row, head, dim);
    for (size_t d = 0; d < dim; ++d) {
      scratch->positive[row * dim + d] = std::max(q[d], 0.0f);
      scratch->negative[row * dim + d] = std::min(q[d], 0.0f);
    }
  }
  scratch->high.resize(rows * kStrip);
  scratch->low.resize(rows * kStrip);
  bounds->assign(pages(), -std::numeric_limits<float>::infinity());
  for (size_t begin = 0; begin < pages(); begin += kStrip) {
    const size_t end = std::min(begin + kStrip, pages());
    kernels::Scores(target, layout, highest_.pages(), begin, end, scratch->positive.data(), dim, rows, 1.0f,
                    scratch->high.data(), kStrip, &scratch->keys);
    kernels::Scores(target, layout, lowest_.pages(), begin, end, scratch->negative.data(), dim, rows, 1.0f, scratch->low.data(),
                    kStrip, &scratch->keys);
    for (size_t row = 0; row < rows; ++row) {
      const float* high = scratch->high.data() + row * kStrip;
      const float* low = scratch->low.data() + row * kStrip;
      for (size_t i = 0; i < end - begin; ++i) (*bounds)[begin + i] = std::max((*bounds)[begin + i], high[i] + low[i]);
    }
  }
}

}  // namespace damask::policies
