// Rows of a query block that stand for all of it in an estimate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "policies/options.h"

namespace damask::policies {

// Every step-th row by position, so that it does not matter where a text was cut, and the last one. Overwrites `chosen`.
void SampleRows(uint64_t first_position, size_t rows, uint64_t step, std::vector<uint32_t>* chosen);

// The option "rows" of `policy`: how many rows of a query block are looked at, a divisor of kernels::kQueryBlockRows.
Result<uint64_t> RowsOption(const Options& options, std::string_view policy);

}  // namespace damask::policies
