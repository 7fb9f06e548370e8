// The small operations between the products. All work on float32 rows; a call does one row or a few, the model spreads rows
// over the pool.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace damask::kernels {

// out [n] = x * weight / sqrt(mean(x^2) + epsilon). out may be x.
// Source: Zhang & Sennrich, Root Mean Square Layer Normalization (arXiv 1910.07467).
void RmsNorm(Target target, const float* x, const float* weight, float epsilon, size_t n, float* out);

enum class RopeKind {
  kAdjacent,  // pairs (0,1), (2,3), ...: llama and mistral in GGUF files
  kHalves,    // pairs (0, d/2), (1, d/2+1), ...: Hugging Face's order; qwen in GGUF files
};

// Rotates `heads` vectors of head_dim floats that lie behind each other, in place. `cos_sin` holds rotated_dims / 2 pairs (cos,
// sin) for this position; dimensions from rotated_dims on stay as they are.
// Source: Su et al., RoFormer (arXiv 2104.09864).
void Rope(Target target, RopeKind kind, float* x, size_t heads, size_t head_dim, size_t rotated_dims, const float* cos_sin);

// gate [n] = silu(gate) * up.
void SiluMul(Target target, float* gate, const float* up, size_t n);

}  // namespace damask::kernels
