// Weights 2^(c (s - reference)) of 16 lanes as bf16, made with integers: a bf16 number's bits, read as an integer, are 128
// times a line through its exponent, so weight and line differ only by a small correction of the 7 bits of the fraction. Source
// of the idea: Schraudolph, A fast, compact approximation of the exponential function (Neural Computation 11, 1999).
//
// Error: the exponent is rounded to 1/128 octave (at most 0.27 %, 0.16 % root mean square) and the result to bf16, where two
// neighbours share a correction (at most 0.55 %, 0.2 % root mean square): together about 1.5 times bf16's own rounding. Exactly
// 1 at the reference, exactly 0 from 127 octaves below it.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention_bf16-inl.h"

namespace damask::kernels {
namespace {

// By how much the line f / 128 lies above 2^(f / 128) - 1, in units of the last place, for f in {2 i, 2 i + 1} together.
struct Exp2Corrections {
  uint8_t bytes[64];
  constexpr Exp2Corrections() : bytes() {
    double octave = 1.0;  // 2^(f / 128)
    for (int f = 0; f < 128; f += 2) {
      const double below = f - 128.0 * (octave - 1.0);
      octave *= 1.0054299011128028;
      const double above = f + 1 - 128.0 * (octave - 1.0);
      octave *= 1.0054299011128028;
      // 2^0 stays exactly 1.
      bytes[f / 2] = f == 0 ? 0 : static_cast<uint8_t>(static_cast<int>(below + above + 1.0) / 2);  // the mean, rounded
    }
  }
};
alignas(64) inline constexpr Exp2Corrections kExp2Corrections{};

struct Bf16Exp2 {
  static constexpr float kSteps = 128.0f;         // per octave: units of the last place of a bf16 in [1, 2)
  static constexpr float kOne = 127.0f * 128.0f;  // bits of 1.0
  static constexpr float kMagic = 12582912.0f;    // 1.5 * 2^23: added, it leaves an integer in the low bits of a float
  static constexpr float kMostOctaves = 8.0f;     // by which a score may pass the reference

  __m512 scale;   // c * kSteps
  __m512 shift;   // puts a score at the reference on kMagic + kOne
  __m512 factor;  // of what was accumulated before the last Raise

  // `max` [16]: the references, -infinity where a lane has none yet.
  void Begin(const float* max, float log2_scale) {
    scale = _mm512_set1_ps(log2_scale * kSteps);
    factor = _mm512_set1_ps(1.0f);
    SetShift(_mm512_load_ps(max));
  }
  void SetShift(__m512 max) {
    const __mmask16 some = _mm512_cmp_ps_mask(max, _mm512_set1_ps(-__builtin_inff()), _CMP_NEQ_UQ);
    const __m512 steps = _mm512_roundscale_ps(_mm512_maskz_mul_ps(some, max, scale), _MM_FROUND_TO_NEAREST_INT);
    shift = _mm512_sub_ps(_mm512_set1_ps(kMagic + kOne), steps);
  }

  // Moves the references (stored in `reference`, [16]) of lanes whose scores pass them by more than kMostOctaves up to the
  // maxima, a whole number of steps. False: none moved.
  bool Raise(__m512 max, float log2_scale, float* reference) {
    const __m512 old = _mm512_load_ps(reference);
    const __m512 most = _mm512_set1_ps(kMostOctaves / (log2_scale > 0.0f ? log2_scale : 1.0f));
    const __mmask16 grown =
        _mm512_cmp_ps_mask(max, _mm512_add_ps(old, most), _CMP_GT_OQ) |
        _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(max, old, _CMP_GT_OQ), old, _mm512_set1_ps(-__builtin_inff()), _CMP_EQ_OQ);
    factor = _mm512_set1_ps(1.0f);
    if (grown == 0) return false;
    const __m512 steps = _mm512_roundscale_ps(_mm512_mul_ps(max, scale), _MM_FROUND_TO_NEAREST_INT);
    const __m512 moved = _mm512_mask_mov_ps(old, grown, _mm512_div_ps(steps, scale));
    _mm512_store_ps(reference, moved);
    // 2^((old - moved) c); a lane that had no reference has accumulated nothing.
    const __m512 octaves = _mm512_mul_ps(_mm512_sub_ps(old, moved), _mm512_mul_ps(scale, _mm512_set1_ps(1.0f / kSteps)));
    factor = _mm512_mask_mov_ps(factor, grown, Bf16Ops::Exp2(octaves));
    SetShift(moved);
    return true;
  }

  // Weights of an even and an odd key, as pairs.
  [[gnu::always_inline]] inline __m512i Pairs(__m512 even, __m512 odd) const {
    const __m512i zero = _mm512_castps_si512(_mm512_set1_ps(kMagic));
    const __m512i low = _mm512_max_epi32(_mm512_castps_si512(_mm512_fmadd_ps(even, scale, shift)), zero);
    const __m512i high = _mm512_max_epi32(_mm512_castps_si512(_mm512_fmadd_ps(odd, scale, shift)), zero);
    const __m512i bits = _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_slli_epi32(high, 16));
    const __m512i corrections = _mm512_load_si512(kExp2Corrections.bytes);
    const __m512i above = _mm512_maskz_permutexvar_epi8(0x5555555555555555u, _mm512_srli_epi16(bits, 1), corrections);
    return _mm512_sub_epi16(bits, above);
  }
};

}  // namespace
}  // namespace damask::kernels
