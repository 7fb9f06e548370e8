#include "policies/antidiagonals.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace damask::policies {

// Row n joins queries [stride n, stride n + stride) in reverse, so that its product with as many keys in order is the sum of
// an antidiagonal. A query that is not of this block is taken by the nearest one that is: a decoded token is all of its own.
void AntidiagonalEstimate::GatherRows(const QueryRows& queries, size_t head, size_t dim, uint64_t stride) {
  const uint64_t last = queries.first_position + queries.rows - 1;
  rows_.clear();
  for (uint64_t n = queries.first_position / stride; n <= last / stride; ++n) {
    for (uint64_t a = 0; a < stride; ++a) {
      const uint64_t position = std::clamp(n * stride + stride - 1 - a, queries.first_position, last);
      const float* q = queries.row(position - queries.first_position, head, dim);
      rows_.insert(rows_.end(), q, q + dim);
    }
  }
}

void AntidiagonalEstimate::AddHead(const ModelShape& shape, const PlanRequest& request, size_t head,
                                   const AntidiagonalGrid& grid, std::vector<float>* blocks) {
  const uint64_t stride = grid.stride;
  GatherRows(request.queries, head, shape.head_dim, stride);
  const size_t width = stride * shape.head_dim;
  const size_t rows = rows_.size() / width;
  const uint64_t end = request.first_position + request.rows;
  const uint64_t begin = grid.first_block * grid.block / stride;
  const size_t strides = (end - 1) / stride + 1 - begin;
  const float scale = 1.0f / (static_cast<float>(stride) * std::sqrt(static_cast<float>(shape.head_dim)));
  scores_.resize(rows * strides);
  kernels::RunScores(shape.target, *request.keys.layout, request.keys.pages, stride, begin, end, rows_.data(), width, rows,
                     scale, scores_.data(), strides, &keys_);
  for (size_t i = 0; i < rows; ++i) {
    const uint64_t n = request.first_position / stride + i;
    float* row = scores_.data() + i * strides;
    const size_t seen = n + 1 - begin;
    const uint64_t first_row = std::max(n * stride, request.first_position);
    const uint64_t lowest = kernels::LowestKey(first_row, shape.window(request.layer)) / stride;
    if (lowest > begin) std::fill_n(row, lowest - begin, -std::numeric_limits<float>::infinity());
    kernels::Softmax(shape.target, row, seen);
    for (size_t m = 0; m < seen; ++m) (*blocks)[m * stride / grid.block] += row[m];
  }
}

}  // namespace damask::policies
