// Attention with AVX-512 bf16 products. Measured per Zen 4 core (2026-11-24, dense causal, 32 heads over 8 KV heads, 4K and 16K
// positions): 181 GFLOP/s at head_dim 64 and 190 at 128, 77 and 81 % of what vdpbf16ps does from registers (235).
#include "kernels/attention_bf16-inl.h"

namespace damask::kernels {

const AttentionBody& Avx512Bf16Body() {
  // 128 keys a step: scores and weights (48 KiB) stay in L2, and loading and storing O^T costs a twentieth of the products.
  static constexpr AttentionBody kBody = {"avx512bf16",
                                          kLanes,
                                          16,
                                          128,
                                          kLanes * sizeof(bf16),
                                          PackPairs<kLanes>,
                                          nullptr,
                                          VectorSteps<Bf16Ops>::Step,
                                          FinishRows<kLanes>,
                                          nullptr,
                                          nullptr,
                                          ExpandAvx512Bf16};
  return kBody;
}

void Avx512Bf16Exp2(const float* x, size_t n, float* out) {
  alignas(64) float lanes[16];
  for (size_t i = 0; i < n; i += 16) {
    for (size_t j = 0; j < 16; ++j) lanes[j] = i + j < n ? x[i + j] : 0.0f;
    _mm512_store_ps(lanes, Bf16Ops::Exp2(_mm512_load_ps(lanes)));
    for (size_t j = 0; j < 16 && i + j < n; ++j) out[i + j] = lanes[j];
  }
}

}  // namespace damask::kernels
