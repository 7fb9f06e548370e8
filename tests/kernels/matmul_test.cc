// Every body this CPU can run against products in double over the exactly decoded weights.
#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/activation_forms.h"
#include "kernels/dnnl_products.h"
#include "kernels/matmul_bodies.h"
#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

struct Shape {
  size_t m, n, k;
};

// k near `wanted` that the type allows: float types any number, others whole blocks.
size_t AllowedK(TensorType type, size_t wanted) {
  const size_t block = formats::GetTensorType(type).block_values;
  return std::max<size_t>(1, wanted / block) * block;
}

class MatmulTest : public ::testing::Test {
 protected:
  std::vector<float> Multiply(Target target, Phase phase, const Weights& w, const std::vector<float>& x, size_t m,
                              ThreadPool* pool) {
    Matmul matmul(target, pool);
    Activations loaded;
    matmul.Load(phase, x.data(), m, w.k, w.k, &loaded);
    std::vector<float> y(m * w.n, 77.0f);
    matmul.Multiply(loaded, w.view(), {}, y.data(), w.n);
    return y;
  }

  void ExpectClose(Phase phase, const std::vector<Shape>& shapes) {
    for (const TensorType type : AllWeightTypes()) {
      for (const Shape& shape : shapes) {
        const size_t k = AllowedK(type, shape.k);
        const Weights w(type, shape.n, k, static_cast<uint32_t>(shape.n + k));
        const std::vector<float> x = RandomFloats(shape.m * k, static_cast<uint32_t>(shape.m));
        const std::vector<double> expected = ExactProduct(x, shape.m, w);
        for (const Target target : SupportedTargets()) {
          const std::vector<float> y = Multiply(target, phase, w, x, shape.m, &pool_);
          EXPECT_LE(RelativeError(expected, y.data(), w.n, w.n), Tolerance(target, phase, type))
              << CaseName(target, type, shape.m, shape.n, k);
        }
      }
    }
  }

  ThreadPool pool_{2};
};

TEST_F(MatmulTest, PrefillIsWithinTheStatedErrorForAllTypesAndOddShapes) {
  ExpectClose(Phase::kPrefill,
              {{1, 1, 1}, {5, 3, 256}, {6, 64, 512}, {7, 65, 320}, {13, 130, 777}, {70, 31, 1056}, {33, 257, 96}});
}

TEST_F(MatmulTest, DecodeIsWithinTheStatedErrorForAllTypesAndOddShapes) {
  ExpectClose(Phase::kDecode,
              {{1, 1, 1}, {1, 3, 256}, {1, 129, 800}, {2, 64, 512}, {3, 65, 2080}, {7, 33, 1000}, {8, 17, 544}, {21, 66, 288}});
}

TEST_F(MatmulTest, LongRowsAreSummedInPiecesOfK) {
  for (const TensorType type : {TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_K, TensorType::kQ6_K}) {
    const Weights w(type, 66, 8192 + 512, 5);
    const std::vector<float> x = RandomFloats(9 * w.k, 6);
    const std::vector<double> expected = ExactProduct(x, 9, w);
    for (const Target target : SupportedTargets()) {
      const std::vector<float> y = Multiply(target, Phase::kPrefill, w, x, 9, &pool_);
      EXPECT_LE(RelativeError(expected, y.data(), w.n, w.n), Tolerance(target, Phase::kPrefill, type))
          << CaseName(target, type, 9, w.n, w.k);
    }
  }
}

TEST_F(MatmulTest, ARowsDecodeResultDoesNotDependOnHowManyRowsShareTheCall) {
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 37, AllowedK(type, 1100), 11);
    const std::vector<float> x = RandomFloats(8 * w.k, 12);
    for (const Target target : SupportedTargets()) {
      const std::vector<float> together = Multiply(target, Phase::kDecode, w, x, 8, &pool_);
      for (size_t row = 0; row < 8; ++row) {
        const std::vector<float> one(x.begin() + static_cast<ptrdiff_t>(row * w.k),
                                     x.begin() + static_cast<ptrdiff_t>((row + 1) * w.k));
        const std::vector<float> alone = Multiply(target, Phase::kDecode, w, one, 1, &pool_);
        EXPECT_EQ(0, std::memcmp(alone.data(), together.data() + row * w.n, w.n * sizeof(float)))
            << CaseName(target, type, row, w.n, w.k);
      }
    }
  }
}

TEST_F(MatmulTest, ARowsPrefillResultDoesNotDependOnHowManyRowsShareTheCall) {
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 70, AllowedK(type, 600), 13);
    const std::vector<float> x = RandomFloats(20 * w.k, 14);
    for (const Target target : SupportedTargets()) {
      const std::vector<float> together = Multiply(target, Phase::kPrefill, w, x, 20, &pool_);
      for (const size_t rows : {1, 5, 13}) {
        const std::vector<float> fewer = Multiply(target, Phase::kPrefill, w, x, rows, &pool_);
        EXPECT_EQ(0, std::memcmp(fewer.data(), together.data(), rows * w.n * sizeof(float)))
            << CaseName(target, type, rows, w.n, w.k);
      }
    }
  }
}

TEST_F(MatmulTest, ResultsAreTheSameBitsForAnyNumberOfThreads) {
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 300, AllowedK(type, 512), 15);
    const std::vector<float> x = RandomFloats(140 * w.k, 16);
    for (const Target target : SupportedTargets()) {
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        const size_t m = phase == Phase::kPrefill ? 140 : 3;
        ThreadPool one(1);
        ThreadPool five(5);
        const std::vector<float> first = Multiply(target, phase, w, x, m, &one);
        const std::vector<float> second = Multiply(target, phase, w, x, m, &five);
        EXPECT_EQ(0, std::memcmp(first.data(), second.data(), first.size() * sizeof(float)))
            << CaseName(target, type, m, w.n, w.k);
      }
    }
  }
}

TEST_F(MatmulTest, RowsMadeOnTheWayGiveTheSameBits) {
  const Weights w(TensorType::kQ8_0, 70, 512, 41);
  for (const size_t m : {1, 5, 16, 40, 140}) {
    const std::vector<float> x = RandomFloats(m * w.k, 42);
    // Half of the rows lie somewhere, the others are put into the buffer.
    const auto row_at = [&](size_t row, float* buffer) {
      const float* const from = x.data() + row * w.k;
      return row % 2 == 0 ? from : std::copy_n(from, w.k, buffer) - w.k;
    };
    for (const Target target : SupportedTargets()) {
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        Matmul matmul(target, &pool_);
        Activations loaded;
        matmul.Load(phase, row_at, m, w.k, &loaded);
        std::vector<float> y(m * w.n);
        matmul.Multiply(loaded, w.view(), {}, y.data(), w.n);
        EXPECT_EQ(y, Multiply(target, phase, w, x, m, &pool_)) << CaseName(target, w.type, m, w.n, w.k);
      }
    }
  }
}

// Of several sizes and types, one of them smaller than any part.
TEST_F(MatmulTest, ProductsSideBySideGiveTheBitsOfOneAfterTheOther) {
  const Weights weights[] = {Weights(TensorType::kQ4_K, 1100, 512, 43), Weights(TensorType::kQ6_K, 3, 512, 44),
                             Weights(TensorType::kBF16, 300, 512, 45)};
  const std::vector<float> bias = RandomFloats(1100, 46);
  for (const size_t m : {1, 33, 300}) {
    const std::vector<float> x = RandomFloats(m * 512, 47);
    for (const Target target : SupportedTargets()) {
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        Matmul matmul(target, &pool_);
        Activations loaded;
        matmul.Load(phase, x.data(), m, 512, 512, &loaded);
        std::vector<float> together[3];
        std::vector<WeightView> views;
        for (const Weights& w : weights) views.push_back(w.view());
        std::vector<Matmul::Factor> factors;
        for (size_t i = 0; i < 3; ++i) {
          together[i].assign(m * weights[i].n, 1.0f);
          factors.push_back({&views[i], {bias.data(), i == 2}, together[i].data(), weights[i].n});
        }
        matmul.MultiplyEach(loaded, factors);
        for (size_t i = 0; i < 3; ++i) {
          std::vector<float> alone(m * weights[i].n, 1.0f);
          matmul.Multiply(loaded, views[i], {bias.data(), i == 2}, alone.data(), weights[i].n);
          EXPECT_EQ(together[i], alone) << CaseName(target, weights[i].type, m, weights[i].n, 512);
        }
      }
    }
  }
}

TEST_F(MatmulTest, BiasAndAccumulationAndStridesAreHonoured) {
  for (const TensorType type : {TensorType::kF32, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_K}) {
    const Weights w(type, 75, 512, 17);
    const std::vector<float> x = RandomFloats(10 * w.k, 18);
    const std::vector<float> bias = RandomFloats(w.n, 19);
    const std::vector<double> product = ExactProduct(x, 10, w);
    for (const Target target : SupportedTargets()) {
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        Matmul matmul(target, &pool_);
        // Rows of x lie w.k + 3 floats apart, rows of y 80.
        std::vector<float> spread(10 * (w.k + 3), 1e30f);
        for (size_t row = 0; row < 10; ++row)
          std::copy_n(x.begin() + static_cast<ptrdiff_t>(row * w.k), w.k,
                      spread.begin() + static_cast<ptrdiff_t>(row * (w.k + 3)));
        Activations loaded;
        matmul.Load(phase, spread.data(), 10, w.k, w.k + 3, &loaded);
        std::vector<float> y(10 * 80, 2.0f);
        matmul.Multiply(loaded, w.view(), {bias.data(), true}, y.data(), 80);
        std::vector<double> expected = product;
        for (size_t i = 0; i < expected.size(); ++i) expected[i] += 2.0 + static_cast<double>(bias[i % w.n]);
        EXPECT_LE(RelativeError(expected, y.data(), w.n, 80), Tolerance(target, phase, type))
            << CaseName(target, type, 10, w.n, w.k);
        for (size_t row = 0; row < 10; ++row) {
          for (size_t n = w.n; n < 80; ++n) ASSERT_EQ(2.0f, y[row * 80 + n]) << "written beyond the row";
        }
      }
    }
  }
}

TEST_F(MatmulTest, GatedIsTheFunctionOfTheGateTimesUp) {
  for (const TensorType type : AllWeightTypes()) {
    const size_t k = AllowedK(type, 520);
    const Weights gate(type, 90, k, 20);
    // A model may mix types.
    const Weights up(type == TensorType::kQ4_K ? TensorType::kQ6_K : type, 90, k, 21);
    std::vector<float> x = RandomFloats(11 * k, 22);
    for (float& value : x) value *= 0.1f;
    std::vector<double> expected = ExactProduct(x, 11, gate);
    const std::vector<double> up_exact = ExactProduct(x, 11, up);
    const std::vector<double> gate_exact = expected;
    for (const GateFunction function : {GateFunction::kSilu, GateFunction::kGelu, GateFunction::kClamped}) {
      for (size_t i = 0; i < expected.size(); ++i) {
        expected[i] =
            static_cast<double>(GateTimes(function, static_cast<float>(gate_exact[i]), static_cast<float>(up_exact[i])));
      }
      for (const Target target : SupportedTargets()) {
        for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
          Matmul matmul(target, &pool_);
          Activations loaded;
          matmul.Load(phase, x.data(), 11, k, k, &loaded);
          std::vector<float> y(11 * 90, 5.0f);
          matmul.MultiplyGated(loaded, function, gate.view(), up.view(), y.data(), 90);
          // Two errors, and the product of two large values is larger than the rest.
          EXPECT_LE(RelativeError(expected, y.data(), 90, 90), 4 * Tolerance(target, phase, type))
              << CaseName(target, type, 11, 90, k);
        }
      }
    }
  }
}

TEST_F(MatmulTest, GatedIsLoadedWithTheBitsThatItHasAsNumbers) {
  for (const TensorType type : AllWeightTypes()) {
    const size_t k = AllowedK(type, 520);
    const size_t n = 512;
    const Weights gate(type, n, k, 41);
    const Weights up(type == TensorType::kQ4_K ? TensorType::kQ6_K : type, n, k, 42);
    const Weights down(type, 70, n, 43);
    for (const size_t m : {3, 75, 600}) {
      if (m > 75 && type != TensorType::kQ8_0) continue;
      std::vector<float> x = RandomFloats(m * k, 44);
      for (float& value : x) value *= 0.1f;
      for (const Target target : SupportedTargets()) {
        if (target == Target::kScalar && m > 3) continue;
        for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
          if (phase == Phase::kDecode && m > 3) continue;
          Matmul matmul(target, &pool_);
          Activations loaded;
          matmul.Load(phase, x.data(), m, k, k, &loaded);
          std::vector<float> numbers(m * n);
          matmul.MultiplyGated(loaded, GateFunction::kSilu, gate.view(), up.view(), numbers.data(), n);
          Activations expected;
          matmul.Load(phase, numbers.data(), m, n, n, &expected);
          Activations gated;
          matmul.LoadGated(loaded, GateFunction::kSilu, gate.view(), up.view(), &gated);
          std::vector<float> y[2] = {std::vector<float>(m * down.n), std::vector<float>(m * down.n)};
          matmul.Multiply(expected, down.view(), {}, y[0].data(), down.n);
          matmul.Multiply(gated, down.view(), {}, y[1].data(), down.n);
          EXPECT_EQ(y[0], y[1]) << CaseName(target, type, m, n, k);
        }
      }
    }
  }
}

TEST_F(MatmulTest, RepackedWeightsGiveTheSameBits) {
  for (const TensorType type : AllWeightTypes()) {
    for (const size_t k : {AllowedK(type, 300), AllowedK(type, 9000)}) {  // one piece of k, and more
      const Weights w(type, 150, k, 31);
      const Weights up(type, 150, k, 32);
      const std::vector<float> x = RandomFloats(20 * k, 33);
      for (const Target target : SupportedTargets()) {
        Matmul matmul(target, &pool_);
        Activations loaded;
        matmul.Load(Phase::kPrefill, x.data(), 20, k, k, &loaded);
        const auto multiply = [&] {
          std::vector<float> y(40 * w.n, 1.0f);
          matmul.Multiply(loaded, w.view(), {.accumulate = true}, y.data(), w.n);
          matmul.MultiplyGated(loaded, GateFunction::kSilu, w.view(), up.view(), y.data() + 20 * w.n, w.n);
          return y;
        };
        const std::vector<float> before = multiply();
        const std::vector<WeightView> views = {w.view(), up.view(), w.view()};  // tied weights are kept once
        const size_t expected = matmul.RepackedBytes(std::span(views).first(2));
        EXPECT_EQ(expected > 0, target != Target::kScalar);
        matmul.Repack(views);
        EXPECT_EQ(matmul.repacked_bytes(), expected);
        EXPECT_EQ(multiply(), before) << CaseName(target, type, 20, w.n, k);
      }
    }
  }
}

TEST_F(MatmulTest, RowsOfZerosGiveZeros) {
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 20, AllowedK(type, 256), 23);
    const std::vector<float> x(3 * w.k, 0.0f);
    for (const Target target : SupportedTargets()) {
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        const std::vector<float> y = Multiply(target, phase, w, x, 3, &pool_);
        for (const float value : y) ASSERT_EQ(0.0f, value) << CaseName(target, type, 3, w.n, w.k);
      }
    }
  }
}

TEST_F(MatmulTest, AnActivationsObjectServesShapeAfterShape) {
  Matmul matmul(BestTarget(), &pool_);
  Activations loaded;
  for (const size_t k : {512, 256, 1024}) {
    const Weights w(TensorType::kQ8_0, 40, k, 24);
    const std::vector<float> x = RandomFloats(4 * k, 25);
    matmul.Load(Phase::kPrefill, x.data(), 4, k, k, &loaded);
    std::vector<float> y(4 * w.n);
    matmul.Multiply(loaded, w.view(), {}, y.data(), w.n);
    EXPECT_LE(RelativeError(ExactProduct(x, 4, w), y.data(), w.n, w.n), 0.06);
  }
  EXPECT_GT(loaded.bytes(), 0u);
}

// Where a block's scale lies: in front, or behind the numbers.
size_t ScaleAt(TensorType type) {
  switch (type) {
    case TensorType::kQ2_K: return 80;
    case TensorType::kQ3_K: return 108;
    case TensorType::kQ6_K: return 208;
    default: return 0;
  }
}

// A broken file must not become silent nonsense.
TEST_F(MatmulTest, G19ANanScaleReachesTheResult) {
  for (const TensorType type : AllWeightTypes()) {
    const formats::TensorTypeInfo& info = formats::GetTensorType(type);
    if (info.block_values == 1) continue;
    Weights w(type, 20, 1024, 29);
    const size_t scale_at = ScaleAt(type);
    const bool exponent_only = type == TensorType::kMXFP4;
    const uint16_t nan = exponent_only ? 0xff : 0x7e00;
    for (const size_t block : {size_t{0}, size_t{1024} / info.block_values - 1}) {
      std::memcpy(w.bytes.data() + block * info.block_bytes + scale_at, &nan, exponent_only ? 1 : sizeof(nan));
      const std::vector<float> x = RandomFloats(5 * w.k, 30);
      for (const Target target : SupportedTargets()) {
        for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
          const std::vector<float> y = Multiply(target, phase, w, x, 5, &pool_);
          for (size_t m = 0; m < 5; ++m) {
            EXPECT_TRUE(std::isnan(y[m * w.n])) << CaseName(target, type, m, w.n, w.k);
            EXPECT_FALSE(std::isnan(y[m * w.n + 1])) << CaseName(target, type, m, w.n, w.k);
          }
        }
      }
    }
  }
}

// Activations that are rounded to blocks of 8 bits have to keep it, wherever in a block it is.
TEST_F(MatmulTest, G19AnActivationThatIsNoNumberReachesAllResultsOfItsRow) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 20, 1024, 34);
    const std::vector<float> sound = RandomFloats(3 * w.k, 35);
    for (const size_t at : {size_t{0}, size_t{37}, size_t{63}, size_t{500}, w.k - 1}) {
      for (const float broken : {kNan, -kNan, kInfinity, -kInfinity}) {
        std::vector<float> x = sound;
        x[w.k + at] = broken;
        x[w.k + (at ^ 1)] = broken;
        for (const Target target : SupportedTargets()) {
          for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
            const std::vector<float> y = Multiply(target, phase, w, x, 3, &pool_);
            for (size_t n = 0; n < w.n; ++n) {
              ASSERT_FALSE(std::isfinite(y[w.n + n])) << CaseName(target, type, n, w.n, at) << " " << broken;
              ASSERT_TRUE(std::isfinite(y[n]) && std::isfinite(y[2 * w.n + n])) << CaseName(target, type, n, w.n, at);
            }
          }
        }
      }
    }
  }
}

TEST_F(MatmulTest, TypesNamedBeforehandSpareFormsAndNotABit) {
  for (const Target target : SupportedTargets()) {
    for (const TensorType type : AllWeightTypes()) {
      const Weights w(type, 70, 512, 27);
      const std::vector<float> x = RandomFloats(3 * w.k, 28);
      for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
        Matmul any(target, &pool_);
        Matmul named(target, &pool_, {&type, 1});
        Activations for_any;
        Activations for_named;
        any.Load(phase, x.data(), 3, w.k, w.k, &for_any);
        named.Load(phase, x.data(), 3, w.k, w.k, &for_named);
        EXPECT_LE(for_named.bytes(), for_any.bytes());
        std::vector<float> y(3 * w.n);
        named.Multiply(for_named, w.view(), {}, y.data(), w.n);
        EXPECT_EQ(y, Multiply(target, phase, w, x, 3, &pool_)) << CaseName(target, type, 3, w.n, w.k);
      }
    }
  }
}

// Routers: among float weights one of blocks, that only meets activations of decode.
TEST_F(MatmulTest, TypesOfDecodeAloneAreMadeFormsFor) {
  const Weights w(TensorType::kQ8_0, 30, 96, 41);
  const std::vector<float> x = RandomFloats(3 * w.k, 42);
  const TensorType prefill[] = {TensorType::kF32};
  const TensorType decode[] = {TensorType::kQ8_0};
  for (const Target target : SupportedTargets()) {
    Matmul matmul(target, &pool_, prefill, decode);
    Activations loaded;
    matmul.Load(Phase::kDecode, x.data(), 3, w.k, w.k, &loaded);
    std::vector<float> y(3 * w.n);
    matmul.Multiply(loaded, w.view(), {}, y.data(), w.n);
    EXPECT_LE(RelativeError(ExactProduct(x, 3, w), y.data(), w.n, w.n), Tolerance(target, Phase::kDecode, TensorType::kQ8_0))
        << TargetName(target);
  }
}

TEST_F(MatmulTest, NoRowsAndNoColumnsAreNoWork) {
  Matmul matmul(BestTarget(), &pool_);
  const Weights w(TensorType::kF32, 4, 8, 26);
  Activations loaded;
  matmul.Load(Phase::kPrefill, nullptr, 0, 8, 8, &loaded);
  matmul.Multiply(loaded, w.view(), {}, nullptr, 4);
  const std::vector<float> x(8);
  matmul.Load(Phase::kDecode, x.data(), 1, 8, 8, &loaded);
  matmul.Multiply(loaded, {TensorType::kF32, nullptr, 0, 8}, {}, nullptr, 0);
  SUCCEED();
}

// oneDNN's among them, and bodies that the table leaves to other types.
TEST_F(MatmulTest, EveryProductOfTheBenchmarksIsRight) {
  DnnlProducts dnnl(&pool_);
  std::vector<Scratch> scratch(pool_.num_threads());
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 70, AllowedK(type, 600), 36);
    const std::vector<float> x = RandomFloats(13 * w.k, 37);
    const std::vector<double> expected = ExactProduct(x, 13, w);
    const WeightView view = w.view();
    const auto check = [&](const char* name, unsigned forms, const std::function<void(const Product&)>& multiply) {
      Activations loaded;
      MakeForms(Phase::kPrefill, forms, x.data(), 13, w.k, w.k, &pool_, &loaded.forms());
      std::vector<float> y(13 * w.n, 77.0f);
      multiply({&loaded.forms(), &view, nullptr, Store::kSet, y.data(), w.n});
      EXPECT_LE(RelativeError(expected, y.data(), w.n, w.n), 0.06) << name << " " << CaseName(BestTarget(), type, 13, w.n, w.k);
    };
    for (const Body* body : PrefillBodies(BestTarget(), type)) {
      check(body->name, body->forms, [&](const Product& product) { RunProducts(&body, &product, 1, &pool_, scratch.data()); });
    }
    for (const DnnlType numbers : {DnnlType::kFloat32, DnnlType::kBf16}) {
      if (numbers == DnnlType::kBf16 && !TargetSupported(Target::kAvx512Bf16)) continue;
      check(DnnlProducts::NameOf(numbers), DnnlProducts::FormOf(numbers),
            [&](const Product& product) { dnnl.Multiply(numbers, product); });
    }
  }
}

TEST_F(MatmulTest, EveryCaseHasABodyWithAName) {
  for (const Target target : SupportedTargets()) {
    Matmul matmul(target, &pool_);
    for (const TensorType type : AllWeightTypes()) {
      EXPECT_FALSE(matmul.Describe(Phase::kPrefill, type).empty());
      EXPECT_FALSE(matmul.Describe(Phase::kDecode, type).empty());
    }
  }
}

}  // namespace
}  // namespace damask::kernels
