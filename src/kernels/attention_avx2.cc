#include "kernels/attention_hwy-inl.h"

namespace damask::kernels {

const AttentionBody& Avx2Body() {
  static constexpr AttentionBody kBody = MakeFloatBody("avx2 float32", ExpandAvx2);
  return kBody;
}

void Avx2Exp2(const float* x, size_t n, float* out) { FloatExp2(x, n, out); }

}  // namespace damask::kernels
