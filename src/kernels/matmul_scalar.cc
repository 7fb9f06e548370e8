// The reference product: weights decoded exactly, float32 sums.
#include <cstring>

#include "kernels/matmul_targets.h"
#include "kernels/quant.h"

namespace damask::kernels::scalar {
namespace {

// Sixteen partial sums: as exact as a pairwise sum of blocks, and plain compilers vectorise it.
float Dot(const float* a, const float* b, size_t k) {
  float sums[16] = {};
  size_t i = 0;
  for (; i + 16 <= k; i += 16) {
    for (size_t j = 0; j < 16; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (size_t j = 0; i < k; ++i, ++j) sums[j] += a[i] * b[i];
  for (size_t width = 8; width != 0; width /= 2) {
    for (size_t j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

}  // namespace

void Multiply(const Product& product, const Part& part, Scratch* scratch) {
  const Activations::Forms& x = *product.x;
  const WeightView& w = *product.w;
  const size_t row_bytes = formats::RowBytes(w.type, w.k);
  scratch->rows.Reserve(2 * w.k);
  float* row = scratch->rows.data();
  float* up_row = row + w.k;
  for (size_t n = part.n_begin; n < part.n_end; ++n) {
    DequantizeRow(w.type, w.data + n * row_bytes, w.k, row);
    if (product.up != nullptr) {
      DequantizeRow(product.up->type, product.up->data + n * formats::RowBytes(product.up->type, w.k), w.k, up_row);
    }
    for (size_t m = part.m_begin; m < part.m_end; ++m) {
      const float* input = x.floats.data() + m * x.float_stride;
      StoreElement(product, m, n, Dot(input, row, w.k), product.up != nullptr ? Dot(input, up_row, w.k) : 0.0f);
    }
  }
}

}  // namespace damask::kernels::scalar
