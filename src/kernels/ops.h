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

// What a feed-forward layer does to its gate. Source: Shazeer, GLU Variants Improve Transformer (arXiv 2002.05202).
enum class GateFunction {
  kSilu,  // x sigmoid(x), SwiGLU
  kGelu,  // x sigmoid(slope (x + cubic x^3)), GeGLU: Hendrycks & Gimpel's GELU in the form with a tanh (arXiv 1606.08415)
  // x sigmoid(slope x) of x up to the limit; what is multiplied by it is cut to the limit on both sides, and 1 more (OpenAI,
  // gpt-oss-120b & gpt-oss-20b Model Card, arXiv 2508.10925, and their reference code)
  kClamped,
};
inline constexpr float kGeluSlope = 1.5957691216f;  // 2 sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.044715f;
inline constexpr float kClampedSlope = 1.702f;
inline constexpr float kClampedLimit = 7.0f;

float GateTimes(GateFunction function, float gate, float up);  // f(gate) * up

// gate [n] = f(gate) * up.
void GateMul(Target target, GateFunction function, float* gate, const float* up, size_t n);

}  // namespace damask::kernels
