// The bodies of each instruction set, behind ops.h. Where AVX-512 has no body of its own, AVX2 already runs at the speed of
// memory.
#pragma once

#include <cstddef>

#include "kernels/ops.h"

namespace damask::kernels {
namespace avx2 {

// False, and nothing written, where the sum of squares is beyond float32 or not a number.
[[nodiscard]] bool RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out);
void Rope(RopeKind kind, float* x, size_t heads, size_t head_dim, size_t rotated_dims, const float* cos_sin);
void GateMul(GateFunction function, float* gate, const float* up, size_t n);

}  // namespace avx2
namespace avx512 {

void GateMul(GateFunction function, float* gate, const float* up, size_t n);

}  // namespace avx512
}  // namespace damask::kernels
