#include "kernels/activation_forms.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/checked.h"

namespace damask::kernels {
namespace {

using Forms = Activations::Forms;

size_t RoundUp(size_t value, size_t to) { return CeilDiv(value, to) * to; }

void MakeFloatRow(const float* x, size_t k, size_t stride, float* out) {
  std::memcpy(out, x, k * sizeof(float));
  std::memset(out + k, 0, (stride - k) * sizeof(float));
}

void Reserve(size_t m, size_t k, Forms* forms) {
  if ((forms->bits & kFormFloat) != 0) {
    forms->float_stride = RoundUp(k, 16);
    forms->floats.Reserve(m * forms->float_stride);
  }
}

}  // namespace

size_t Forms::bytes() const {
  return floats.bytes() + bf16s.bytes() + wide.q.bytes() + wide.scale.bytes() + wide.sum.bytes() + decode.natural.bytes() +
         decode.halves.bytes() + decode.pairs.bytes() + decode.natural_sums.bytes() + decode.halves_sums.bytes() +
         decode.scale.bytes() + decode.scaled_sum.bytes() + tiles.bytes();
}

void MakeForms(Target /*target*/, Phase phase, unsigned bits, const float* x, size_t m, size_t k, size_t x_stride,
               ThreadPool* pool, Forms* out) {
  out->phase = phase;
  out->bits = bits;
  out->m = m;
  out->k = k;
  Reserve(m, k, out);
  // About 64 KB of floats a range.
  const size_t grain = std::max<size_t>(1, 16384 / std::max<size_t>(1, k));
  pool->ParallelFor(m, grain, [&](size_t begin, size_t end, size_t /*worker*/) {
    for (size_t row = begin; row < end; ++row) {
      const float* input = x + row * x_stride;
      if ((bits & kFormFloat) != 0) MakeFloatRow(input, k, out->float_stride, out->floats.data() + row * out->float_stride);
    }
  });
}

}  // namespace damask::kernels
