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

inline bool OnIntel() { return __builtin_cpu_is("intel") != 0; }

// Weight rows that a body for `m` rows of activations reads at a time, from as many places of a block: each place is a stream
// of its own to the prefetchers, so that more lines are under way. A Xeon with AMX decodes 8 to 28 % faster with four than with
// one, up to 46 % by AVX2's bodies (docs/engineering-notes.md). Not measured yet on other makes, which go row by row.
constexpr size_t StreamsOf(size_t m) { return m <= 2 ? 4 : 2; }

// Calls many(n, apart) for rows n, n + apart, .. of kStreams streams that together are n_begin .. n_end, one(n) for rows left
// over.
template <size_t kStreams, typename Many, typename One>
inline void ForStreams(size_t n_begin, size_t n_end, const Many& many, const One& one) {
  const size_t share = (n_end - n_begin) / kStreams;
  for (size_t n = n_begin; n < n_begin + share; ++n) many(n, share);
  for (size_t n = n_begin + share * kStreams; n < n_end; ++n) one(n);
}

// Calls multiply(n_begin, n_end, m_begin, m_end, out) for blocks of weight rows and rows of activations in turn, which sets
// out[(m - m_begin) * DecodeBlock::kColumns + n - n_begin] to the product of row m of x and row n of w; ends what it has set as
// the product wants.
template <typename Multiply>
inline void ForDecodeBlocks(Target target, const Product& product, const Part& part, const Multiply& multiply) {
  alignas(kCacheLine) float results[DecodeBlock::kRows * DecodeBlock::kColumns];
  for (size_t n_begin = part.n_begin; n_begin < part.n_end; n_begin += DecodeBlock::kColumns) {
    const size_t n_end = n_begin + DecodeBlock::kColumns < part.n_end ? n_begin + DecodeBlock::kColumns : part.n_end;
    for (size_t m_begin = part.m_begin; m_begin < part.m_end; m_begin += DecodeBlock::kRows) {
      const size_t m_end = m_begin + DecodeBlock::kRows < part.m_end ? m_begin + DecodeBlock::kRows : part.m_end;
      multiply(n_begin, n_end, m_begin, m_end, results);
      for (size_t m = m_begin; m < m_end; ++m) {
        StoreElements(target, product, m, n_begin, n_end - n_begin, results + (m - m_begin) * DecodeBlock::kColumns);
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
