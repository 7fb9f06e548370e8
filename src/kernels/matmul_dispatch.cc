// The one table: which body multiplies, by target, phase and weight type.
#include "kernels/matmul_bodies.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels {
namespace {

constexpr Body kScalar = {"scalar float32", kFormFloat, Split::kRowRanges, 1, scalar::Multiply, nullptr};

}  // namespace

const Body& FindBody(Target /*target*/, Phase /*phase*/, formats::TensorType /*type*/) { return kScalar; }

unsigned FormsOf(Target target, Phase phase) {
  using formats::TensorType;
  unsigned bits = 0;
  for (const TensorType type :
       {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_1,
        TensorType::kQ5_0, TensorType::kQ5_1, TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K}) {
    bits |= FindBody(target, phase, type).forms;
  }
  return bits;
}

}  // namespace damask::kernels
