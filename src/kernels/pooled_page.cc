#include "kernels/pooled_page.h"

#include <algorithm>
#include <vector>

#include "base/bf16.h"

namespace damask::kernels {
namespace {

float Number(float x) { return x; }
float Number(bf16 x) { return ToFloat(x); }
void Store(float x, float* out) { *out = x; }
void Store(float x, bf16* out) { *out = ToBf16(x); }

// The mean of 1 << kShift numbers that lie `stride` apart.
template <size_t kShift, class T>
void StoreMean(const T* numbers, size_t stride, T* out) {
  float sum = Number(numbers[0]);
  for (size_t i = 1; i < size_t{1} << kShift; ++i) sum += Number(numbers[i * stride]);
  Store(sum * (1.0f / static_cast<float>(1u << kShift)), out);
}

// rows [kPageTokens][head_dim] -> out [kPageTokens >> kShift][head_dim]
template <size_t kShift, class T>
void PoolRows(const T* rows, size_t head_dim, T* out) {
  for (size_t n = 0; n < kPageTokens >> kShift; ++n) {
    const T* const from = rows + (n << kShift) * head_dim;
    for (size_t d = 0; d < head_dim; ++d) StoreMean<kShift>(from + d, head_dim, out + n * head_dim + d);
  }
}

// V^T tiles: the values of a dimension lie beside each other, 32 slots long.
template <size_t kShift>
void PoolValueLines(const bf16* values, size_t head_dim, bf16* out, size_t slot) {
  constexpr size_t kLine = 32;
  constexpr size_t kMeans = kLine >> kShift;
  for (size_t half = 0; half < kPageTokens / kLine; ++half) {
    const bf16* const from = values + ValueIndex(head_dim, half * kLine, 0);
    bf16* const to = out + ValueIndex(head_dim, slot + half * kMeans, 0);
    for (size_t d = 0; d < head_dim; ++d) {
      for (size_t n = 0; n < kMeans; ++n) StoreMean<kShift>(from + d * kLine + (n << kShift), 1, to + d * kLine + n);
    }
  }
}

template <size_t kShift>
void Pool(const PageLayout& layout, const std::byte* page, std::byte* pooled, size_t slot) {
  const size_t head_dim = layout.head_dim;
  const std::byte* const values = page + layout.value_offset();
  std::byte* const pooled_values = pooled + layout.value_offset();
  if (layout.type == KvType::kF32) {
    const size_t offset = slot * head_dim;
    PoolRows<kShift>(reinterpret_cast<const float*>(page), head_dim, reinterpret_cast<float*>(pooled) + offset);
    PoolRows<kShift>(reinterpret_cast<const float*>(values), head_dim, reinterpret_cast<float*>(pooled_values) + offset);
    return;
  }
  PoolRows<kShift>(reinterpret_cast<const bf16*>(page), head_dim, reinterpret_cast<bf16*>(pooled) + slot * head_dim);
  PoolValueLines<kShift>(reinterpret_cast<const bf16*>(values), head_dim, reinterpret_cast<bf16*>(pooled_values), slot);
}

// Pages whose numbers have scales: read and stored slot by slot.
void PoolSlots(const PageLayout& layout, const std::byte* page, size_t shift, std::byte* pooled, size_t slot) {
  const size_t head_dim = layout.head_dim;
  const float share = 1.0f / static_cast<float>(1u << shift);
  std::vector<float> sums(2 * head_dim);
  std::vector<float> numbers(2 * head_dim);
  for (size_t n = 0; n < kPageTokens >> shift; ++n) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (size_t from = n << shift; from < (n + 1) << shift; ++from) {
      LoadKey(layout, page, from, numbers.data());
      LoadValue(layout, page, from, numbers.data() + head_dim);
      for (size_t d = 0; d < numbers.size(); ++d) sums[d] += numbers[d];
    }
    for (float& sum : sums) sum *= share;
    StoreSlot(layout, pooled, slot + n, sums.data(), sums.data() + head_dim);
  }
}

}  // namespace

void PoolPage(const PageLayout& layout, const std::byte* page, size_t shift, std::byte* pooled, size_t slot) {
  if (layout.type == KvType::kQ8) return PoolSlots(layout, page, shift, pooled, slot);
  if (shift == 1) return Pool<1>(layout, page, pooled, slot);
  if (shift == 2) return Pool<2>(layout, page, pooled, slot);
  Pool<3>(layout, page, pooled, slot);
}

}  // namespace damask::kernels
