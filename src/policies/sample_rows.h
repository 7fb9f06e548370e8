// Rows of a query block that stand for all of it in an estimate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "policies/options.h"
#include "policies/policy.h"

namespace damask::policies {

// Every step-th row by position, so that it does not matter where a text was cut, and the last one. Overwrites `chosen`.
void SampleRows(uint64_t first_position, size_t rows, uint64_t step, std::vector<uint32_t>* chosen);

// Copies these rows of a head to `to` [rows, head_dim]; gives where the next one would go.
float* CopyRows(const QueryRows& queries, std::span<const uint32_t> rows, size_t head, size_t head_dim, float* to);

// The option "rows" of `policy`: how many rows of a query block are looked at, a divisor of kernels::kQueryBlockRows.
Result<uint64_t> RowsOption(const Options& options, std::string_view policy);

}  // namespace damask::policies
