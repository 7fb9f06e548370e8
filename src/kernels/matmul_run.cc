// Cuts products into parts for the pool.
#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "kernels/matmul_bodies.h"
#include "kernels/matmul_targets.h"
#include "kernels/ops.h"

namespace damask::kernels {
namespace {

// Weight bytes of one range in decode: long enough for the prefetchers, short enough that threads finish together.
constexpr size_t kRangeBytes = size_t{256} << 10;
// Parts per thread below which a prefill product is also cut along m.
constexpr size_t kPartsPerThread = 4;
// Rows of a cut along m, at least: unpacking a panel costs as much as some 40 rows.
constexpr size_t kMinimumCutRows = 128;
// The same two for parts that take several panels (Body::n_part). Each reads its activations from L3, so fewer are better;
// weight rows at least.
constexpr size_t kLargePartsPerThread = 2;
constexpr size_t kMinimumPartRows = 128;

size_t RoundUp(size_t value, size_t grain) { return CeilDiv(value, grain) * grain; }

// Rows of w, at most `n_part` where the body takes more than a panel, and of x in a part; `n` rows are multiplied altogether.
Part PartSize(const Body& body, size_t n_part, const Product& product, size_t n, size_t num_threads) {
  const size_t m = product.x->m;
  const size_t wanted = kPartsPerThread * num_threads;
  if (body.split == Split::kRowRanges) {
    const size_t row_bytes = std::max<size_t>(1, formats::RowBytes(product.w->type, product.w->k));
    const size_t rows = std::min(std::max<size_t>(1, kRangeBytes / row_bytes), std::max<size_t>(1, n / wanted));
    return Part{0, RoundUp(rows, body.n_grain), 0, m};
  }
  const bool large = body.n_part != 0;
  const size_t parts = large ? kLargePartsPerThread * num_threads : wanted;
  const size_t rows = large ? std::clamp(RoundUp(CeilDiv(n, parts), body.n_grain), kMinimumPartRows, n_part) : body.n_grain;
  const size_t panels = CeilDiv(n, rows);
  const size_t cuts = panels >= parts ? 1 : std::max<size_t>(1, std::min(CeilDiv(parts, panels), m / kMinimumCutRows));
  return Part{0, rows, 0, RoundUp(CeilDiv(m, cuts), body.m_grain)};
}

// Calls run(part, worker) for ranges of `rows` weight rows over the pool. Every thread reads a share of the matrix from end to
// end, so that what it fetches ahead at the end of a range is what it reads next: 6 % faster on a Xeon with AMX than ranges in
// turn. Who has done with a share helps with the others.
template <typename Run>
void ForEachRange(const Product& product, size_t rows, ThreadPool* pool, Scratch* scratch, const Run& run) {
  const size_t n = product.w->n;
  const size_t ranges = CeilDiv(n, rows);
  const size_t shares = std::min(pool->num_threads(), ranges);
  const auto begin_of = [&](size_t share) { return share * ranges / shares; };
  for (size_t share = 0; share < shares; ++share) {
    scratch[share].next_range.store(begin_of(share), std::memory_order_relaxed);
  }
  pool->ParallelFor(shares, 1, [&](size_t first, size_t /*end*/, size_t worker) {
    for (size_t i = 0; i < shares; ++i) {
      const size_t share = (first + i) % shares;
      const auto take = [&] { return scratch[share].next_range.fetch_add(1, std::memory_order_relaxed); };
      for (size_t range = take(); range < begin_of(share + 1); range = take()) {
        run(Part{range * rows, std::min(range * rows + rows, n), 0, product.x->m}, worker);
      }
    }
  });
}

// The parts of a product, `size` each.
size_t NumParts(const Product& product, const Part& size) {
  return CeilDiv(product.w->n, size.n_end) * CeilDiv(product.x->m, size.m_end);
}
Part PartAt(const Product& product, const Part& size, size_t index) {
  const size_t m = product.x->m;
  const size_t cuts = CeilDiv(m, size.m_end);
  const size_t n_begin = index / cuts * size.n_end;
  const size_t m_begin = index % cuts * size.m_end;
  return {n_begin, std::min(n_begin + size.n_end, product.w->n), m_begin, std::min(m_begin + size.m_end, m)};
}

// Calls run(part, worker) for all of them over the pool.
template <typename Run>
void ForEachPart(const Product& product, const Part& size, ThreadPool* pool, const Run& run) {
  pool->ParallelFor(NumParts(product, size), 1,
                    [&](size_t index, size_t /*end*/, size_t worker) { run(PartAt(product, size, index), worker); });
}

void RunParts(const Body* const* bodies, const Product* products, size_t count, ThreadPool* pool, Scratch* scratch) {
  const Part size = PartSize(*bodies[0], bodies[0]->n_part, products[0], products[0].w->n, pool->num_threads());
  const auto run = [&](const Part& part, size_t worker) {
    for (size_t i = 0; i < count; ++i) bodies[i]->run(products[i], part, &scratch[worker]);
  };
  if (bodies[0]->split == Split::kRowRanges) return ForEachRange(products[0], size.n_end, pool, scratch, run);
  ForEachPart(products[0], size, pool, run);
}

}  // namespace

void RunProducts(const Body* const* bodies, const Product* products, size_t count, ThreadPool* pool, Scratch* scratch) {
  if (products[0].x->m == 0 || products[0].w->n == 0) return;
  const bool together = count == 1 || (bodies[0]->split == bodies[1]->split && bodies[0]->n_grain == bodies[1]->n_grain &&
                                       bodies[0]->n_part == bodies[1]->n_part);
  if (together) return RunParts(bodies, products, count, pool, scratch);
  for (size_t i = 0; i < count; ++i) RunParts(bodies + i, products + i, 1, pool, scratch);
}

void RunSideBySide(const Body* const* bodies, const Product* products, size_t count, ThreadPool* pool, Scratch* scratch) {
  const bool ranges = std::any_of(bodies, bodies + count, [](const Body* body) { return body->split == Split::kRowRanges; });
  if (ranges || products[0].x->m == 0) {
    for (size_t i = 0; i < count; ++i) RunProducts(bodies + i, products + i, 1, pool, scratch);
    return;
  }
  size_t n = 0;
  for (size_t i = 0; i < count; ++i) n += products[i].w->n;
  std::vector<Part> sizes(count);
  std::vector<size_t> ends(count);  // of each one's parts in the order of all
  size_t parts = 0;
  for (size_t i = 0; i < count; ++i) {
    sizes[i] = PartSize(*bodies[i], bodies[i]->n_part, products[i], n, pool->num_threads());
    ends[i] = parts += NumParts(products[i], sizes[i]);
  }
  pool->ParallelFor(parts, 1, [&](size_t index, size_t /*end*/, size_t worker) {
    const auto i = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), index) - ends.begin());
    const size_t first = i == 0 ? 0 : ends[i - 1];
    bodies[i]->run(products[i], PartAt(products[i], sizes[i], index - first), &scratch[worker]);
  });
}

void RunGated(const Body& body, const Product& gate, const Product& up, ThreadPool* pool, Scratch* scratch,
              Activations::Forms* out) {
  if (gate.x->m == 0 || gate.w->n == 0) return;
  const Part size = PartSize(body, body.n_part / 2, gate, gate.w->n, pool->num_threads());
  ForEachPart(gate, size, pool,
              [&](const Part& part, size_t worker) { body.run_gated(gate, up, part, &scratch[worker], out); });
}

void StoreElements(Target target, const Product& product, size_t m, size_t n, size_t count, float* values) {
  float* const y = product.y + m * product.y_stride + n;
  for (size_t i = 0; product.bias != nullptr && i < count; ++i) values[i] += product.bias[n + i];
  switch (product.store) {
    case Store::kSet: std::copy_n(values, count, y); return;
    case Store::kAdd:
      for (size_t i = 0; i < count; ++i) y[i] += values[i];
      return;
    case Store::kGate: GateMul(target, product.gate, y, values, count); return;
  }
}

}  // namespace damask::kernels
