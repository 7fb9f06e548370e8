// Matmul: makes the forms, cuts a product into parts for the pool.
#include "kernels/matmul.h"

#include <algorithm>
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

}  // namespace

struct Matmul::Impl {
  Target target;
  ThreadPool* pool;
  unsigned prefill_forms;
  unsigned decode_forms;
  std::vector<Scratch> scratch;

  void Run(const Product& product);
  void RunRowRanges(const Body& body, const Product& product);
  void RunPanels(const Body& body, const Product& product);
};

void Matmul::Impl::Run(const Product& product) {
  if (product.x->m == 0 || product.w->n == 0) return;
  const Body& body = FindBody(target, product.x->phase, product.w->type);
  switch (body.split) {
    case Split::kRowRanges: RunRowRanges(body, product); return;
    case Split::kPanels: RunPanels(body, product); return;
    case Split::kWhole: return;
  }
}

void Matmul::Impl::RunRowRanges(const Body& body, const Product& product) {
  const size_t row_bytes = std::max<size_t>(1, formats::RowBytes(product.w->type, product.w->k));
  const size_t by_bytes = std::max<size_t>(1, kRangeBytes / row_bytes);
  const size_t by_threads = std::max<size_t>(1, product.w->n / (kPartsPerThread * pool->num_threads()));
  const size_t grain = CeilDiv(std::min(by_bytes, by_threads), body.n_grain) * body.n_grain;
  pool->ParallelFor(product.w->n, grain, [&](size_t begin, size_t end, size_t worker) {
    body.run(product, Part{begin, end, 0, product.x->m}, &scratch[worker]);
  });
}

void Matmul::Impl::RunPanels(const Body& body, const Product& product) {
  const size_t m = product.x->m;
  const size_t panels = CeilDiv(product.w->n, body.n_grain);
  const size_t wanted = kPartsPerThread * pool->num_threads();
  const size_t cuts = panels >= wanted ? 1 : std::max<size_t>(1, std::min(CeilDiv(wanted, panels), m / kMinimumCutRows));
  const size_t cut_rows = CeilDiv(m, cuts);
  pool->ParallelFor(panels * cuts, 1, [&](size_t begin, size_t /*end*/, size_t worker) {
    const size_t panel = begin / cuts;
    const size_t cut = begin % cuts;
    const Part part{panel * body.n_grain, std::min((panel + 1) * body.n_grain, product.w->n), std::min(cut * cut_rows, m),
                    std::min((cut + 1) * cut_rows, m)};
    if (part.m_begin < part.m_end) body.run(product, part, &scratch[worker]);
  });
}

void StoreElement(const Product& product, size_t m, size_t n, float value, float up_value) {
  float* y = product.y + m * product.y_stride + n;
  if (product.up != nullptr) {
    *y = value / (1.0f + std::exp(-value)) * up_value;
    return;
  }
  if (product.epilogue.bias != nullptr) value += product.epilogue.bias[n];
  *y = product.epilogue.accumulate ? *y + value : value;
}

Activations::Activations() : forms_(std::make_unique<Forms>()) {}
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;
Activations::~Activations() = default;
size_t Activations::bytes() const { return forms_->bytes(); }

Matmul::Matmul(Target target, ThreadPool* pool)
    : impl_(new Impl{target, pool, FormsOf(target, Phase::kPrefill), FormsOf(target, Phase::kDecode),
                     std::vector<Scratch>(pool->num_threads())}) {}
Matmul::~Matmul() = default;

void Matmul::Load(Phase phase, const float* x, size_t m, size_t k, size_t x_stride, Activations* out) {
  const unsigned bits = phase == Phase::kPrefill ? impl_->prefill_forms : impl_->decode_forms;
  MakeForms(impl_->target, phase, bits, x, m, k, x_stride, impl_->pool, &out->forms());
}

void Matmul::Multiply(const Activations& x, const WeightView& w, const Epilogue& epilogue, float* y, size_t y_stride) {
  impl_->Run(Product{&x.forms(), &w, nullptr, epilogue, y, y_stride});
}

void Matmul::MultiplySwiGlu(const Activations& x, const WeightView& gate, const WeightView& up, float* out, size_t out_stride) {
  impl_->Run(Product{&x.forms(), &gate, &up, Epilogue{}, out, out_stride});
}

std::string Matmul::Describe(Phase phase, formats::TensorType type) const { return FindBody(impl_->target, phase, type).name; }

size_t Matmul::bytes() const {
  size_t sum = 0;
  for (const Scratch& scratch : impl_->scratch) sum += scratch.bytes();
  return sum;
}

}  // namespace damask::kernels
