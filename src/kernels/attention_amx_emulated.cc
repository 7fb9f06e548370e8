// The AMX body with tiles in plain C++: for tests, on any CPU that has AVX-512 bf16 and VBMI.
#include "kernels/attention_amx-inl.h"

namespace damask::kernels {

const AttentionBody& AmxEmulatedBody() {
  static constexpr AttentionBody kBody = MakeAmxBody<amx::EmulatedTiles>("amx emulated");
  return kBody;
}

void AmxExp2(const float* x, size_t n, float* out) {
  alignas(64) float lanes[16] = {};
  Bf16Exp2 exp2;
  exp2.Begin(lanes, 1.0f);  // references of 0
  for (size_t i = 0; i < n; i += 16) {
    for (size_t j = 0; j < 16; ++j) lanes[j] = i + j < n ? x[i + j] : 0.0f;
    const __m512 even = _mm512_load_ps(lanes);
    _mm512_store_si512(lanes, _mm512_slli_epi32(exp2.Pairs(even, even), 16));
    for (size_t j = 0; j < 16 && i + j < n; ++j) out[i + j] = lanes[j];
  }
}

}  // namespace damask::kernels
