// Products touch nothing beyond their operands: every type, target and phase, gated and repacked.
#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/guarded_bytes.h"
#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

struct Operands {
  Operands(const Weights& w, size_t m_in, Edge edge)
      : m(m_in),
        weights(w.bytes, edge),
        x(RandomFloats(m * w.k, 8), edge),
        bias(w.n * sizeof(float), edge),
        y(m * w.n * sizeof(float), edge),
        view{w.type, weights.data(), w.n, w.k} {}

  size_t m;
  GuardedBytes weights;
  GuardedBytes x;
  GuardedBytes bias;
  GuardedBytes y;
  WeightView view;
};

void RunEveryProduct(Target target, Phase phase, ThreadPool* pool, Operands* o) {
  const WeightView& w = o->view;
  Matmul matmul(target, pool);
  Activations loaded;
  matmul.Load(phase, o->x.floats(), o->m, w.k, w.k, &loaded);
  matmul.Multiply(loaded, w, {o->bias.floats(), false}, o->y.floats(), w.n);
  matmul.MultiplyGated(loaded, GateFunction::kSilu, w, w, o->y.floats(), w.n);
  Activations gated;
  if (IsFloatType(w.type)) matmul.LoadGated(loaded, GateFunction::kSilu, w, w, &gated);  // others want whole blocks of n
  const WeightView views[] = {w};
  matmul.Repack(views);
  matmul.Multiply(loaded, w, {o->bias.floats(), true}, o->y.floats(), w.n);
}

class MatmulBorders : public ::testing::TestWithParam<TensorType> {};

TEST_P(MatmulBorders, NothingBeyondTheOperandsIsTouched) {
  struct Shape {
    size_t m, n, k;
  };
  ThreadPool pool(2);
  const size_t block = formats::GetTensorType(GetParam()).block_values;
  for (const Shape& shape : {Shape{1, 1, 1}, {1, 3, 300}, {2, 37, 544}, {8, 66, 1056}, {9, 65, 777}, {33, 129, 800}}) {
    const Weights w(GetParam(), shape.n, std::max<size_t>(1, shape.k / block) * block, 7);
    for (const Edge edge : {Edge::kBegin, Edge::kEnd}) {
      Operands operands(w, shape.m, edge);
      for (const Target target : SupportedTargets()) {
        SCOPED_TRACE(CaseName(target, w.type, shape.m, w.n, w.k));
        for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) RunEveryProduct(target, phase, &pool, &operands);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, MatmulBorders, ::testing::ValuesIn(AllWeightTypes()),
                         [](const auto& type) { return std::string(formats::GetTensorType(type.param).name); });

}  // namespace
}  // namespace damask::kernels
