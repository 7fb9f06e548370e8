// Matmul: makes the forms, cuts a product into parts for the pool.
#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/checked.h"
#include "kernels/activation_forms.h"
#include "kernels/matmul_bodies.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels {
namespace {

// Weight bytes of one range in decode: long enough for the prefetchers, short enough that threads finish together.
constexpr size_t kRangeBytes = size_t{64} << 10;
// Parts per thread below which a prefill product is also cut along m.
constexpr size_t kPartsPerThread = 4;
// Rows of a cut along m, at least: unpacking a panel costs as much as some 40 rows.
constexpr size_t kMinimumCutRows = 128;
// Cuts lie at multiples of what the bodies take at a time: 6 rows, or 32 (pairs of tiles).
constexpr size_t kCutGrain = 96;

}  // namespace

struct Matmul::Impl {
  Target target;
  ThreadPool* pool;
  unsigned prefill_forms;
  unsigned decode_forms;
  std::vector<Scratch> scratch;
  std::unique_ptr<WholeProducts, WholeProductsDeleter> whole;

  // Runs one product, or two (SwiGLU) part by part, so that the second finds the first one's part of y in cache.
  void Run(const Product* products, size_t count);
  void RunParts(const Body* const* bodies, const Product* products, size_t count);
  // Rows of w and of x in a part.
  Part PartSize(const Body& body, const Product& product) const;
};

Part Matmul::Impl::PartSize(const Body& body, const Product& product) const {
  const size_t m = product.x->m;
  const size_t n = product.w->n;
  const size_t wanted = kPartsPerThread * pool->num_threads();
  if (body.split == Split::kRowRanges) {
    const size_t row_bytes = std::max<size_t>(1, formats::RowBytes(product.w->type, product.w->k));
    const size_t rows = std::min(std::max<size_t>(1, kRangeBytes / row_bytes), std::max<size_t>(1, n / wanted));
    return Part{0, CeilDiv(rows, body.n_grain) * body.n_grain, 0, m};
  }
  const size_t panels = CeilDiv(n, body.n_grain);
  const size_t cuts = panels >= wanted ? 1 : std::max<size_t>(1, std::min(CeilDiv(wanted, panels), m / kMinimumCutRows));
  return Part{0, body.n_grain, 0, CeilDiv(CeilDiv(m, cuts), kCutGrain) * kCutGrain};
}

void Matmul::Impl::RunParts(const Body* const* bodies, const Product* products, size_t count) {
  const size_t m = products[0].x->m;
  const size_t n = products[0].w->n;
  const Part size = PartSize(*bodies[0], products[0]);
  const size_t cuts = CeilDiv(m, size.m_end);
  pool->ParallelFor(CeilDiv(n, size.n_end) * cuts, 1, [&](size_t index, size_t /*end*/, size_t worker) {
    const size_t n_begin = index / cuts * size.n_end;
    const size_t m_begin = index % cuts * size.m_end;
    const Part part{n_begin, std::min(n_begin + size.n_end, n), m_begin, std::min(m_begin + size.m_end, m)};
    for (size_t i = 0; i < count; ++i) bodies[i]->run(products[i], part, &scratch[worker]);
  });
}

void Matmul::Impl::Run(const Product* products, size_t count) {
  const Activations::Forms& x = *products[0].x;
  if (x.m == 0 || products[0].w->n == 0) return;
  const Body* bodies[2] = {};
  for (size_t i = 0; i < count; ++i) bodies[i] = &FindBody(target, x.phase, products[i].w->type);
  const bool together = count == 1 || (bodies[0]->split == bodies[1]->split && bodies[0]->n_grain == bodies[1]->n_grain);
  if (!together) {
    for (size_t i = 0; i < count; ++i) Run(products + i, 1);
    return;
  }
  if (bodies[0]->split != Split::kWhole) {
    RunParts(bodies, products, count);
    return;
  }
  for (size_t i = 0; i < count; ++i) bodies[i]->run_whole(products[i], pool, whole.get());
}

void StoreElement(const Product& product, size_t m, size_t n, float value) {
  float* y = product.y + m * product.y_stride + n;
  if (product.bias != nullptr) value += product.bias[n];
  switch (product.store) {
    case Store::kSet: *y = value; return;
    case Store::kAdd: *y += value; return;
    case Store::kSwiGlu: *y = *y / (1.0f + std::exp(-*y)) * value; return;
  }
}

Activations::Activations() : forms_(std::make_unique<Forms>()) {}
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;
Activations::~Activations() = default;
size_t Activations::bytes() const { return forms_->bytes(); }

Matmul::Matmul(Target target, ThreadPool* pool)
    : impl_(new Impl{target, pool, FormsOf(target, Phase::kPrefill), FormsOf(target, Phase::kDecode),
                     std::vector<Scratch>(pool->num_threads()), MakeWholeProducts()}) {}
Matmul::~Matmul() = default;

void Matmul::Load(Phase phase, const float* x, size_t m, size_t k, size_t x_stride, Activations* out) {
  const unsigned bits = phase == Phase::kPrefill ? impl_->prefill_forms : impl_->decode_forms;
  MakeForms(phase, bits, x, m, k, x_stride, impl_->pool, &out->forms());
}

void Matmul::Multiply(const Activations& x, const WeightView& w, const Epilogue& epilogue, float* y, size_t y_stride) {
  const Store store = epilogue.accumulate ? Store::kAdd : Store::kSet;
  const Product product{&x.forms(), &w, epilogue.bias, store, y, y_stride};
  impl_->Run(&product, 1);
}

void Matmul::MultiplySwiGlu(const Activations& x, const WeightView& gate, const WeightView& up, float* out, size_t out_stride) {
  const Product products[2] = {Product{&x.forms(), &gate, nullptr, Store::kSet, out, out_stride},
                               Product{&x.forms(), &up, nullptr, Store::kSwiGlu, out, out_stride}};
  impl_->Run(products, 2);
}

std::string Matmul::Describe(Phase phase, formats::TensorType type) const { return FindBody(impl_->target, phase, type).name; }

size_t Matmul::bytes() const {
  size_t sum = 0;
  for (const Scratch& scratch : impl_->scratch) sum += scratch.bytes();
  return sum;
}

}  // namespace damask::kernels
