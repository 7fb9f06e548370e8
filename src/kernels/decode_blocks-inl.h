// How decode bodies walk over weight rows: results of a few rows of activations and many weight rows are kept side by side, so
// that bias, gate and sum are taken by vectors. In an unnamed namespace: compiled with wide instruction sets and not to be
// shared.
#pragma once

#include <cstddef>

#include "kernels/matmul_targets.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

struct DecodeBlock {
  static constexpr size_t kColumns = 64;  // weight rows
  static constexpr size_t kRows = 16;     // of activations
};

// Calls multiply(n, m_begin, m_end, out) for weight rows n in turn, which sets out[(m - m_begin) * DecodeBlock::kColumns] to
// the product of row m of x and row n of w; ends what it has set as the product wants.
template <typename Multiply>
inline void ForDecodeBlocks(Target target, const Product& product, const Part& part, const Multiply& multiply) {
  alignas(kCacheLine) float results[DecodeBlock::kRows * DecodeBlock::kColumns];
  for (size_t n_begin = part.n_begin; n_begin < part.n_end; n_begin += DecodeBlock::kColumns) {
    const size_t n_end = n_begin + DecodeBlock::kColumns < part.n_end ? n_begin + DecodeBlock::kColumns : part.n_end;
    for (size_t m_begin = part.m_begin; m_begin < part.m_end; m_begin += DecodeBlock::kRows) {
      const size_t m_end = m_begin + DecodeBlock::kRows < part.m_end ? m_begin + DecodeBlock::kRows : part.m_end;
      for (size_t n = n_begin; n < n_end; ++n) multiply(n, m_begin, m_end, results + (n - n_begin));
      for (size_t m = m_begin; m < m_end; ++m) {
        StoreElements(target, product, m, n_begin, n_end - n_begin, results + (m - m_begin) * DecodeBlock::kColumns);
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
