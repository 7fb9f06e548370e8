#include "kernels/matmul.h"

#include <cassert>
#include <string>
#include <vector>

#include "kernels/activation_forms.h"
#include "kernels/matmul_bodies.h"
#include "kernels/packed_weights.h"

namespace damask::kernels {
namespace {

Product ProductOf(const Activations& x, const Matmul::Factor& factor) {
  const Store store = factor.epilogue.accumulate ? Store::kAdd : Store::kSet;
  return {&x.forms(), factor.w, factor.epilogue.bias, store, factor.y, factor.y_stride};
}

}  // namespace

struct Matmul::Impl {
  Target target;
  ThreadPool* pool;
  unsigned prefill_forms;
  unsigned decode_forms;
  std::vector<Scratch> scratch;
  PackedWeights packed;
  AlignedArray<float> gated;  // [m, n] on their way from MultiplyGated to the form that the next product reads

  unsigned FormsOfPhase(Phase phase) const { return phase == Phase::kPrefill ? prefill_forms : decode_forms; }
  // The product's body; what is kept of its weights is put in.
  const Body* Find(Product* product);
  void Run(Product* products, size_t count);
};

const Body* Matmul::Impl::Find(Product* product) {
  const Body& body = FindBody(target, product->x->phase, product->w->type);
  if (body.pack_panel != nullptr) product->packed = packed.Find(product->w->data);
  assert((product->x->bits & body.forms) == body.forms);  // a weight type that the constructor was not told of
  return &body;
}

void Matmul::Impl::Run(Product* products, size_t count) {
  const Body* bodies[2] = {};
  for (size_t i = 0; i < count; ++i) bodies[i] = Find(&products[i]);
  RunProducts(bodies, products, count, pool, scratch.data());
}

Activations::Activations() : forms_(std::make_unique<Forms>()) {}
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;
Activations::~Activations() = default;
size_t Activations::bytes() const { return forms_->bytes(); }

Matmul::Matmul(Target target, ThreadPool* pool, std::span<const formats::TensorType> types,
               std::span<const formats::TensorType> decode_types)
    : impl_(new Impl{
          target,
          pool,
          FormsOf(target, Phase::kPrefill, types),
          FormsOf(target, Phase::kDecode, types) | (decode_types.empty() ? 0u : FormsOf(target, Phase::kDecode, decode_types)),
          std::vector<Scratch>(pool->num_threads()),
          {},
          {}}) {}
Matmul::~Matmul() = default;

void Matmul::Load(Phase phase, const float* x, size_t m, size_t k, size_t x_stride, Activations* out) {
  MakeForms(phase, impl_->FormsOfPhase(phase), x, m, k, x_stride, impl_->pool, &out->forms());
}

void Matmul::Load(Phase phase, RowMaker rows, size_t m, size_t k, Activations* out) {
  MakeForms(phase, impl_->FormsOfPhase(phase), rows, m, k, impl_->pool, impl_->scratch.data(), &out->forms());
}

ActivationTiles Matmul::PrepareTiles(Phase phase, size_t m, size_t k, Activations* out) {
  if (impl_->FormsOfPhase(phase) != kFormTiles) return {};
  PrepareForms(phase, kFormTiles, m, k, &out->forms());
  const ActivationTiles tiles{out->forms().tiles.data(), out->forms().k_tiles};
  ZeroTilesBehind(m, tiles);
  return tiles;
}

void Matmul::Multiply(const Activations& x, const WeightView& w, const Epilogue& epilogue, float* y, size_t y_stride) {
  Product product = ProductOf(x, {&w, epilogue, y, y_stride});
  impl_->Run(&product, 1);
}

void Matmul::MultiplyEach(const Activations& x, std::span<const Factor> factors) {
  std::vector<Product> products;
  std::vector<const Body*> bodies;
  for (const Factor& factor : factors) {
    products.push_back(ProductOf(x, factor));
    bodies.push_back(impl_->Find(&products.back()));
  }
  RunSideBySide(bodies.data(), products.data(), products.size(), impl_->pool, impl_->scratch.data());
}

void Matmul::MultiplyGated(const Activations& x, GateFunction function, const WeightView& gate, const WeightView& up,
                           float* out, size_t out_stride) {
  Product products[2] = {Product{&x.forms(), &gate, nullptr, Store::kSet, out, out_stride},
                         Product{&x.forms(), &up, nullptr, Store::kGate, out, out_stride, function}};
  impl_->Run(products, 2);
}

void Matmul::LoadGated(const Activations& x, GateFunction function, const WeightView& gate, const WeightView& up,
                       Activations* out) {
  const Activations::Forms& forms = x.forms();
  const unsigned wanted = impl_->FormsOfPhase(forms.phase);
  Product products[2] = {Product{.x = &forms, .w = &gate}, Product{.x = &forms, .w = &up, .gate = function}};
  const Body* const body = impl_->Find(&products[0]);
  if (impl_->Find(&products[1]) == body && body->run_gated != nullptr && body->gated_forms == wanted) {
    PrepareForms(forms.phase, wanted, forms.m, gate.n, &out->forms());
    return RunGated(*body, products[0], products[1], impl_->pool, impl_->scratch.data(), &out->forms());
  }
  impl_->gated.Reserve(forms.m * gate.n);
  MultiplyGated(x, function, gate, up, impl_->gated.data(), gate.n);
  Load(forms.phase, impl_->gated.data(), forms.m, gate.n, gate.n, out);
}

void Matmul::Repack(std::span<const WeightView> weights) {
  for (const WeightView& w : weights) {
    impl_->packed.Add(FindBody(impl_->target, Phase::kPrefill, w.type), w, impl_->pool, impl_->scratch.data());
  }
}

size_t Matmul::RepackedBytes(std::span<const WeightView> weights) const {
  size_t sum = 0;
  for (const WeightView& w : weights) sum += PackedBytes(FindBody(impl_->target, Phase::kPrefill, w.type), w);
  return sum;
}

size_t Matmul::repacked_bytes() const { return impl_->packed.bytes(); }

std::string Matmul::Describe(Phase phase, formats::TensorType type) const { return FindBody(impl_->target, phase, type).name; }

ArithmeticUnit Matmul::PrefillUnit(formats::TensorType type) const {
  const unsigned forms = FindBody(impl_->target, Phase::kPrefill, type).forms;
  if (forms & kFormTiles) return ArithmeticUnit::kBf16Tiles;
  if (forms & (kFormWide8 | kFormFine8)) return ArithmeticUnit::kInt8Dot;
  if (forms & kFormFixed16) return ArithmeticUnit::kInt16Dot;
  return forms & kFormBf16 ? ArithmeticUnit::kBf16Dot : ArithmeticUnit::kFloat32;
}

}  // namespace damask::kernels
