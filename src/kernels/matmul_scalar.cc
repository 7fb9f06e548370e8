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
  scratch->rows.Reserve(w.k);
  float* row = scratch->rows.data();
  for (size_t n = part.n_begin; n < part.n_end; ++n) {
    DequantizeRow(w.type, w.data + n * row_bytes, w.k, row);
    for (size_t m = part.m_begin; m < part.m_end; ++m) {
      float value = Dot(x.floats.data() + m * x.float_stride, row, w.k);
      StoreElements(Target::kScalar, product, m, n, 1, &value);
    }
  }
}

}  // namespace damask::kernels::scalar
