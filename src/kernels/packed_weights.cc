#include "kernels/packed_weights.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"

namespace damask::kernels {

size_t PackedBytes(const Body& body, const WeightView& w) {
  return body.pack_panel == nullptr ? 0 : CeilDiv(w.n, body.n_grain) * body.panel_bytes(w);
}

void PackedWeights::Add(const Body& body, const WeightView& w, ThreadPool* pool, Scratch* scratch) {
  const size_t size = PackedBytes(body, w);
  if (size == 0 || panels_.contains(w.data)) return;
  AlignedArray<std::byte> panels(size);
  pool->ParallelFor(CeilDiv(w.n, body.n_grain), 1, [&](size_t begin, size_t end, size_t worker) {
    for (size_t panel = begin; panel < end; ++panel) {
      const size_t n = panel * body.n_grain;
      body.pack_panel(w, n, std::min(n + body.n_grain, w.n), &scratch[worker], panels.data() + panel * body.panel_bytes(w));
    }
  });
  bytes_ += size;
  panels_.emplace(w.data, std::move(panels));
}

const std::byte* PackedWeights::Find(const std::byte* data) const {
  const auto found = panels_.find(data);
  return found == panels_.end() ? nullptr : found->second.data();
}

}  // namespace damask::kernels
