// The scalar bodies and the choice by target.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops_targets.h"

namespace damask::kernels {
namespace scalar {
namespace {

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const auto scale = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(n) + static_cast<double>(epsilon)));
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void Rope(RopeKind kind, float* x, size_t heads, size_t head_dim, size_t rotated_dims, const float* cos_sin) {
  const size_t pairs = rotated_dims / 2;
  for (size_t head = 0; head < heads; ++head, x += head_dim) {
    for (size_t i = 0; i < pairs; ++i) {
      float& a = kind == RopeKind::kAdjacent ? x[2 * i] : x[i];
      float& b = kind == RopeKind::kAdjacent ? x[2 * i + 1] : x[i + pairs];
      const float cosine = cos_sin[2 * i];
      const float sine = cos_sin[2 * i + 1];
      const float rotated = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = rotated;
    }
  }
}

void GateMul(GateFunction function, float* gate, const float* up, size_t n) {
  for (size_t i = 0; i < n; ++i) gate[i] = GateTimes(function, gate[i], up[i]);
}

}  // namespace
}  // namespace scalar

void RmsNorm(Target target, const float* x, const float* weight, float epsilon, size_t n, float* out) {
#if defined(__x86_64__)
  if (target >= Target::kAvx2 && avx2::RmsNorm(x, weight, epsilon, n, out)) return;
#endif
  scalar::RmsNorm(x, weight, epsilon, n, out);
}

void Rope(Target target, RopeKind kind, float* x, size_t heads, size_t head_dim, size_t rotated_dims, const float* cos_sin) {
#if defined(__x86_64__)
  if (target >= Target::kAvx2) return avx2::Rope(kind, x, heads, head_dim, rotated_dims, cos_sin);
#endif
  scalar::Rope(kind, x, heads, head_dim, rotated_dims, cos_sin);
}

float GateTimes(GateFunction function, float gate, float up) {
  const auto sigmoid = [](float x) { return 1.0f / (1.0f + std::exp(-x)); };
  switch (function) {
    case GateFunction::kSilu: return gate * sigmoid(gate) * up;
    case GateFunction::kGelu: return gate * sigmoid(kGeluSlope * (gate + kGeluCubic * gate * gate * gate)) * up;
    case GateFunction::kClamped: {
      const float cut = std::min(gate, kClampedLimit);
      return cut * sigmoid(kClampedSlope * cut) * (std::clamp(up, -kClampedLimit, kClampedLimit) + 1.0f);
    }
  }
  return 0.0f;
}

void GateMul(Target target, GateFunction function, float* gate, const float* up, size_t n) {
#if defined(__x86_64__)
  if (target >= Target::kAvx512) return avx512::GateMul(function, gate, up, n);
  if (target >= Target::kAvx2) return avx2::GateMul(function, gate, up, n);
#endif
  scalar::GateMul(function, gate, up, n);
}

}  // namespace damask::kernels
