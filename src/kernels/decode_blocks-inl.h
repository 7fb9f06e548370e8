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
// over, or for all.
template <size_t kStreams, typename Many, typename One>
inline void ForStreams(size_t n_begin, size_t n_end, const Many& many, const One& one) {
  const size_t share = OnIntel() ? (n_end - n_begin) / kStreams : 0;
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

// Rows m .. m + M of activations times weight rows n_begin .. n_end: out[r * DecodeBlock::kColumns + n - n_begin]. `rows` as
// MultiplyByRows has it.
template <size_t M, typename Rows>
inline void MultiplyBlock(size_t n_begin, size_t n_end, size_t m, float* out, const Rows& rows) {
  constexpr size_t kStreams = StreamsOf(M);
  ForStreams<kStreams>(
      n_begin, n_end, [&](size_t n, size_t apart) { rows.template operator()<M, kStreams>(n, m, out + (n - n_begin), apart); },
      [&](size_t n) { rows.template operator()<M, 1>(n, m, out + (n - n_begin), 0); });
}

// The same for `count` rows of activations, fewer than M + 1.
template <size_t M, typename Rows>
inline void MultiplyRest(size_t n_begin, size_t n_end, size_t m, size_t count, float* out, const Rows& rows) {
  if constexpr (M > 0) {
    if (count == M) return MultiplyBlock<M>(n_begin, n_end, m, out, rows);
    MultiplyRest<M - 1>(n_begin, n_end, m, count, out, rows);
  }
}

// A product whose bodies take up to kMostRows rows of activations at a time: rows.operator()<M, W>(n, m, out, apart) sets
// out[r * DecodeBlock::kColumns + i * apart] to row m + r of activations, of M, times weight row n + i * apart, of W.
template <size_t kMostRows, typename Rows>
inline void MultiplyByRows(Target target, const Product& product, const Part& part, const Rows& rows) {
  ForDecodeBlocks(target, product, part, [&](size_t n_begin, size_t n_end, size_t m, size_t m_end, float* out) {
    for (; m + kMostRows <= m_end; m += kMostRows, out += kMostRows * DecodeBlock::kColumns) {
      MultiplyBlock<kMostRows>(n_begin, n_end, m, out, rows);
    }
    MultiplyRest<kMostRows - 1>(n_begin, n_end, m, m_end - m, out, rows);
  });
}

}  // namespace
}  // namespace damask::kernels
