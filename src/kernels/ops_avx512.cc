// AVX-512 bodies of the small operations that compute more than they load.
#include <immintrin.h>

#include <cstdint>

#include "kernels/gates_avx512-inl.h"
#include "kernels/ops_targets.h"

namespace damask::kernels::avx512 {
void GateMul(GateFunction function, float* gate, const float* up, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 mask = n - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n - i)) - 1);
    const __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
    const __m512 u = _mm512_maskz_loadu_ps(mask, up + i);
    _mm512_mask_storeu_ps(gate + i, mask, GateTimes(function, g, u));
  }
}

}  // namespace damask::kernels::avx512
