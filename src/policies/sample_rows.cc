#include "policies/sample_rows.h"

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

Result<uint64_t> RowsOption(const Options& options, std::string_view policy) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t rows, options.Count("rows", 1, kQueryBlockRows));
  if (kQueryBlockRows % rows != 0) {
    return InvalidArgument(fmt::format("policy {}: rows='{}' does not divide {}", policy, rows, kQueryBlockRows));
  }
  return rows;
}

}  // namespace damask::policies
