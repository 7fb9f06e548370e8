#include <immintrin.h>

#include "kernels/peak_avx512-inl.h"
#include "kernels/peak_loops.h"

namespace damask::kernels::avx512 {

double FmaLoop(size_t iterations) {
  DAMASK_LOOP("vfmadd231ps")
  return static_cast<double>(iterations) * 24 * 32;
}

uint64_t ReadLoop(const std::byte* data, size_t bytes) {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    // Prefetchers stop at page borders; the kernels of decode reach over them in the same way.
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(data) + i + 2048), _MM_HINT_T0);
    for (size_t j = 0; j < 4; ++j) sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(data + i + 64 * j));
  }
  const __m512i sum = _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sum));
}

}  // namespace damask::kernels::avx512
