#include "policies/sample_rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/plan.h"

namespace damask::policies {

using kernels::kQueryBlockRows;

void SampleRows(uint64_t first_position, size_t rows, uint64_t step, std::vector<uint32_t>* chosen) {
  chosen->clear();
  for (uint32_t row = 0; row < rows; ++row) {
    if ((first_position + row + 1) % step == 0 || row + 1 == rows) chosen->push_back(row);
  }
}

float* CopyRows(const QueryRows& queries, std::span<const uint32_t> rows, size_t head, size_t head_dim, float* to) {
  for (const uint32_t row : rows) to = std::copy_n(queries.row(row, head, head_dim), head_dim, to);
  return to;
}

Result<uint64_t> RowsOption(const Options& options, std::string_view policy) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t rows, options.Count("rows", 1, kQueryBlockRows));
  if (kQueryBlockRows % rows != 0) {
    return InvalidArgument(fmt::format("policy {}: rows='{}' does not divide {}", policy, rows, kQueryBlockRows));
  }
  return rows;
}

}  // namespace damask::policies
