#include "policies/antidiagonals.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace damask::policies {

// Row n joins queries [stride n, stride n + stride) in reverse, so that its product with as many keys in order is the sum of
// an antidiagonal. A query that is not of this block is taken by the nearest one that is: a decoded token is all of its own.
void AntidiagonalEstimate::GatherRows(const QueryRows& queries, size_t head, size_t dim) {
  const uint64_t stride = grid_.stride;
  const uint64_t last = queries.first_position + queries.rows - 1;
  for (uint64_t n = queries.first_position / stride; n <= last / stride; ++n) {
    for (uint64_t a = 0; a < stride; ++a) {
      const uint64_t position = std::clamp(n * stride + stride - 1 - a, queries.first_position, last);
      const float* q = queries.row(position - queries.first_position, head, dim);
      rows_.insert(rows_.end(), q, q + dim);
    }
  }
}

void AntidiagonalEstimate::Make(const ModelShape& shape, const PlanRequest& request, const AntidiagonalGrid& grid) {
  target_ = shape.target;
  grid_ = grid;
  first_position_ = request.first_position;
  own_window_ = shape.window(request.layer);
  const uint64_t end = request.first_position + request.rows;
  head_rows_ = (end - 1) / grid.stride - request.first_position / grid.stride + 1;
  rows_.clear();
  for (size_t head = 0; head < shape.group(); ++head) GatherRows(request.queries, head, shape.head_dim);
  const size_t width = grid.stride * shape.head_dim;
  const size_t rows = shape.group() * head_rows_;
  const uint64_t begin = grid.first_block * grid.block / grid.stride;
  strides_ = (end - 1) / grid.stride + 1 - begin;
  const float scale = 1.0f / (static_cast<float>(grid.stride) * std::sqrt(static_cast<float>(shape.head_dim)));
  scores_.resize(rows * strides_);
  kernels::RunScores(shape.target, *request.keys.layout, request.keys.pages, grid.stride, begin, end, rows_.data(), width, rows,
                     scale, scores_.data(), strides_, &keys_);
}

void AntidiagonalEstimate::AddHead(size_t head, std::vector<float>* blocks) {
  const uint64_t stride = grid_.stride;
  const uint64_t begin = grid_.first_block * grid_.block / stride;
  for (size_t i = 0; i < head_rows_; ++i) {
    const uint64_t n = first_position_ / stride + i;
    float* row = scores_.data() + (head * head_rows_ + i) * strides_;
    const size_t seen = n + 1 - begin;
    const uint64_t first_row = std::max(n * stride, first_position_);
    const uint64_t lowest = kernels::LowestKey(first_row, own_window_) / stride;
    if (lowest > begin) std::fill_n(row, lowest - begin, -std::numeric_limits<float>::infinity());
    kernels::Softmax(target_, row, seen);
    for (size_t m = 0; m < seen; ++m) (*blocks)[m * stride / grid_.block] += row[m];
  }
}

}  // namespace damask::policies
