// What the bodies of byte_vectors.h by vectors share: one group after the other, and of its rows a few beside each other. A
// template over the instruction set's group of 16 vectors:
//   Group(groups, index, dim)
//   kRowsTogether
//   Products                            exact products of a row with the vectors, and what makes scores of them
//   Multiply(rows, first, products[n])  those of rows [first, first + n)
//   Scores(products, out)
//   Largest                             of the vectors' scores, less a bound each: Take(products, bound), Store(out)
#pragma once

#include <cstddef>

#include "kernels/byte_vectors_targets.h"

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// use(row, products) for every row.
template <typename Group, typename Use>
[[gnu::always_inline]] inline void ForRows(const Group& group, const ByteQueries& rows, const Use& use) {
  size_t row = 0;
  for (; row + Group::kRowsTogether <= rows.rows(); row += Group::kRowsTogether) {
    typename Group::Products products[Group::kRowsTogether];
    group.Multiply(rows, row, products);
    for (size_t r = 0; r < Group::kRowsTogether; ++r) use(row + r, products[r]);
  }
  for (; row < rows.rows(); ++row) {
    typename Group::Products products[1];
    group.Multiply(rows, row, products);
    use(row, products[0]);
  }
}

template <typename Group>
void ScoresOfGroups(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  for (size_t i = 0; i < groups.count; ++i) {
    float* const out = scores + i * kByteGroup;
    ForRows(
        Group(groups, i * groups.step, rows.dim()), rows, [&](size_t row, const auto& products) __attribute__((always_inline)) {
          Group::Scores(products, out + row * stride);
        });
  }
}

template <typename Group>
void BestOfGroups(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  for (size_t i = 0; i < groups.count; ++i) {
    typename Group::Largest largest;
    ForRows(
        Group(groups, i * groups.step, rows.dim()),
        rows, [&](size_t row, const auto& products) __attribute__((always_inline)) { largest.Take(products, bounds[row]); });
    largest.Store(best + i * kByteGroup);
  }
}

}  // namespace
}  // namespace damask::kernels
