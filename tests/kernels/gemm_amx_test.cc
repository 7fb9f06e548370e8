// The AMX product over emulated tiles, on any machine with AVX-512 bf16: the same code as on the hardware but for the tiles.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/activation_forms.h"
#include "kernels/matmul_bodies.h"
#include "kernels/matmul_targets.h"
#include "kernels/packed_weights.h"
#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

class AmxProduct : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TargetSupported(Target::kAvx512Bf16)) GTEST_SKIP() << "unpacking needs AVX-512 bf16";
  }

  // Runs y = x w^T in panels, as the pool would.
  std::vector<float> Multiply(const Weights& w, const std::vector<float>& x, size_t m, const float* bias, Store store,
                              float fill, GateFunction gate = GateFunction::kSilu) {
    Activations loaded;
    MakeForms(Phase::kPrefill, kFormTiles, x.data(), m, w.k, w.k, &pool_, &loaded.forms());
    std::vector<float> y(m * w.n, fill);
    MultiplyOnto(w, loaded, bias, store, gate, &y);
    return y;
  }

  void MultiplyOnto(const Weights& w, const Activations& loaded, const float* bias, Store store, GateFunction gate,
                    std::vector<float>* y) {
    const WeightView view = w.view();
    Product product{&loaded.forms(), &view, bias, store, y->data(), w.n, gate};
    Scratch scratch;
    PackedWeights packed;
    KeepPacked(&product, &packed);
    const size_t m = loaded.forms().m;
    for (size_t n = 0; n < w.n; n += kTilePartRows) {
      amx::MultiplyBf16Emulated(product, Part{n, std::min(n + kTilePartRows, w.n), 0, m}, &scratch);
    }
  }

  void KeepPacked(Product* product, PackedWeights* packed) {
    if (!keep_packed_) return;
    Scratch scratch;
    packed->Add(FindBody(Target::kAmx, Phase::kPrefill, product->w->type), *product->w, &pool_, &scratch);
    product->packed = packed->Find(product->w->data);
    EXPECT_NE(product->packed, nullptr);
  }

  // f(gate) * up as tiles, by way of y.
  std::vector<uint16_t> GatedByY(const Weights& gate, const Weights& up, const std::vector<float>& x, size_t m,
                                 GateFunction function) {
    keep_packed_ = false;
    std::vector<float> y = Multiply(gate, x, m, nullptr, Store::kSet, 9.0f);
    Activations loaded;
    MakeForms(Phase::kPrefill, kFormTiles, x.data(), m, gate.k, gate.k, &pool_, &loaded.forms());
    MultiplyOnto(up, loaded, nullptr, Store::kGate, function, &y);
    Activations made;
    MakeForms(Phase::kPrefill, kFormTiles, y.data(), m, gate.n, gate.n, &pool_, &made.forms());
    return TilesOf(made);
  }

  // The same in one go.
  std::vector<uint16_t> Gated(const Weights& gate, const Weights& up, const std::vector<float>& x, size_t m,
                              GateFunction function) {
    Activations loaded;
    MakeForms(Phase::kPrefill, kFormTiles, x.data(), m, gate.k, gate.k, &pool_, &loaded.forms());
    Activations made;
    PrepareForms(Phase::kPrefill, kFormTiles, m, gate.n, &made.forms());
    std::fill_n(made.forms().tiles.data(), made.forms().tiles.size(), uint16_t{0x3f80});
    const WeightView views[2] = {gate.view(), up.view()};
    Product products[2] = {Product{.x = &loaded.forms(), .w = &views[0]},
                           Product{.x = &loaded.forms(), .w = &views[1], .gate = function}};
    PackedWeights packed[2];
    for (size_t i = 0; i < 2; ++i) KeepPacked(&products[i], &packed[i]);
    Scratch scratch;
    constexpr size_t kColumns = kTilePartRows / 2;
    for (size_t n = 0; n < gate.n; n += kColumns) {
      amx::MultiplyGatedEmulated(products[0], products[1], Part{n, std::min(n + kColumns, gate.n), 0, m}, &scratch,
                                 &made.forms());
    }
    return TilesOf(made);
  }

  static std::vector<uint16_t> TilesOf(const Activations& made) {
    const Activations::Forms& forms = made.forms();
    return {forms.tiles.data(), forms.tiles.data() + (forms.m + 31) / 32 * 32 * forms.k_tiles * 32};
  }

  void ExpectClose(const std::vector<double>& expected, const std::vector<float>& y, const Weights& w, size_t m) {
    EXPECT_LE(RelativeError(expected, y.data(), w.n, w.n), 0.015) << CaseName(Target::kAmx, w.type, m, w.n, w.k);
  }

  ThreadPool pool_{1};
  bool keep_packed_ = false;
};

TEST_F(AmxProduct, KeptPanelsGiveTheSameBits) {
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 300, IsFloatType(type) ? 700 : 768, 21);
    const std::vector<float> x = RandomFloats(40 * w.k, 22);
    keep_packed_ = false;
    const std::vector<float> y = Multiply(w, x, 40, nullptr, Store::kSet, 9.0f);
    keep_packed_ = true;
    EXPECT_EQ(y, Multiply(w, x, 40, nullptr, Store::kSet, 9.0f)) << CaseName(Target::kAmx, type, 40, w.n, w.k);
  }
}

TEST_F(AmxProduct, MatchesForAllTypes) {
  for (const TensorType type : AllWeightTypes()) {
    const Weights w(type, 33, 256, 1);
    const std::vector<float> x = RandomFloats(17 * w.k, 2);
    ExpectClose(ExactProduct(x, 17, w), Multiply(w, x, 17, nullptr, Store::kSet, 9.0f), w, 17);
  }
}

TEST_F(AmxProduct, MatchesForOddShapes) {
  const struct {
    size_t m, n, k;
  } shapes[] = {{1, 1, 1}, {15, 16, 31}, {16, 17, 33}, {31, 32, 64}, {32, 31, 511}, {33, 65, 513}, {70, 260, 40}, {3, 7, 1100}};
  for (const auto& shape : shapes) {
    const Weights w(TensorType::kBF16, shape.n, shape.k, 3);
    const std::vector<float> x = RandomFloats(shape.m * w.k, 4);
    ExpectClose(ExactProduct(x, shape.m, w), Multiply(w, x, shape.m, nullptr, Store::kSet, 9.0f), w, shape.m);
  }
}

TEST_F(AmxProduct, MoreThan512RowsComeInBlocks) {
  const Weights w(TensorType::kBF16, 5, 40, 5);
  const std::vector<float> x = RandomFloats(520 * w.k, 6);
  ExpectClose(ExactProduct(x, 520, w), Multiply(w, x, 520, nullptr, Store::kSet, 9.0f), w, 520);
}

TEST_F(AmxProduct, EveryNumberOfBlocksAndPiecesEndsWhereItBelongs) {
  // Blocks of 32 rows and groups of 32 weights, with a last piece of k of one tile, of four and of all.
  for (const size_t m : {20, 50, 90}) {
    for (const size_t k : {8, 520, 640, 1024}) {
      const Weights w(TensorType::kBF16, 100, k, 12);
      const std::vector<float> x = RandomFloats(m * k, 13);
      ExpectClose(ExactProduct(x, m, w), Multiply(w, x, m, nullptr, Store::kSet, 9.0f), w, m);
    }
  }
}

TEST_F(AmxProduct, AddsBiasAndResidual) {
  const Weights w(TensorType::kF16, 20, 600, 7);
  const std::vector<float> x = RandomFloats(5 * w.k, 8);
  const std::vector<float> bias = RandomFloats(w.n, 9);
  std::vector<double> expected = ExactProduct(x, 5, w);
  for (size_t i = 0; i < expected.size(); ++i) expected[i] += 3.0 + static_cast<double>(bias[i % w.n]);
  ExpectClose(expected, Multiply(w, x, 5, bias.data(), Store::kAdd, 3.0f), w, 5);
}

TEST_F(AmxProduct, EndsInGates) {
  const Weights w(TensorType::kQ8_0, 20, 576, 10);
  // Products of about 1, where gates bend.
  std::vector<float> x = RandomFloats(5 * w.k, 11);
  for (float& value : x) value *= 0.04f;
  for (const GateFunction function : {GateFunction::kSilu, GateFunction::kGelu, GateFunction::kClamped}) {
    std::vector<double> expected = ExactProduct(x, 5, w);
    for (double& value : expected) value = static_cast<double>(GateTimes(function, 1.5f, static_cast<float>(value)));
    ExpectClose(expected, Multiply(w, x, 5, nullptr, Store::kGate, 1.5f, function), w, 5);
  }
}

TEST_F(AmxProduct, GatedEndsAsTheTilesOfTheNextProductWithTheSameBits) {
  struct Shape {
    TensorType type;
    size_t m;
    size_t k;
    GateFunction function;
  };
  // One piece of k and two, more rows than are taken at once, blocks of rows that are not whole.
  for (const Shape& s : {Shape{TensorType::kQ8_0, 1, 64, GateFunction::kSilu},
                         {TensorType::kQ8_0, 530, 64, GateFunction::kSilu},
                         {TensorType::kBF16, 40, 556, GateFunction::kGelu},
                         {TensorType::kQ4_K, 33, 768, GateFunction::kClamped}}) {
    // More than a part's columns, and a last group that is not whole.
    const Weights gate(s.type, 290, s.k, 31);
    const Weights up(s.type, 290, s.k, 32);
    std::vector<float> x = RandomFloats(s.m * s.k, 33);
    for (float& value : x) value *= 0.04f;
    const std::vector<uint16_t> expected = GatedByY(gate, up, x, s.m, s.function);
    for (const bool kept : {false, true}) {
      keep_packed_ = kept;
      EXPECT_EQ(Gated(gate, up, x, s.m, s.function), expected) << CaseName(Target::kAmx, s.type, s.m, gate.n, s.k) << kept;
    }
  }
}

}  // namespace
}  // namespace damask::kernels
