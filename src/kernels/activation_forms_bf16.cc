// Rows of activations to bf16 for prefill, with AVX-512 BF16.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/activation_forms.h"
#include "kernels/panel_avx512-inl.h"

namespace damask::kernels::avx512bf16 {

void MakeBf16Row(const float* x, size_t k, size_t stride, uint16_t* out) {
  for (size_t i = 0; i < stride; i += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(LoadTail(x, i + 16, k), LoadTail(x, i, k));
    _mm512_storeu_si512(out + i, reinterpret_cast<__m512i>(both));
  }
}

void MakeTilesRow(const float* x, size_t k, size_t k_tiles, size_t row, uint16_t* tiles) {
  uint16_t* out = tiles + row / 16 * k_tiles * 512 + row % 16 * 32;
  for (size_t tile = 0; tile < k_tiles; ++tile, out += 512) {
    const __m512bh both = _mm512_cvtne2ps_pbh(LoadTail(x, tile * 32 + 16, k), LoadTail(x, tile * 32, k));
    _mm512_storeu_si512(out, reinterpret_cast<__m512i>(both));
  }
}

void PairTiles(size_t k_tiles, uint16_t* tiles) {
  for (size_t tile = 0; tile < k_tiles; ++tile, tiles += 512) {
    __m512i rows[16];
    for (size_t r = 0; r < 16; ++r) rows[r] = _mm512_load_si512(tiles + r * 32);
    Transpose16(rows);
    for (size_t pair = 0; pair < 16; ++pair) _mm512_store_si512(tiles + pair * 32, rows[pair]);
  }
}

}  // namespace damask::kernels::avx512bf16
