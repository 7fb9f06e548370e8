// Bodies of byte_scores.h with an instruction set of their own.
#pragma once

#include "kernels/byte_scores.h"

namespace damask::kernels::avx2 {

// queries.lanes() is a multiple of 16.
void ByteMaximaOfRows(const ByteQuarter& quarter, const ByteQueries& queries, float* largest);
void ByteMaximumOfRow(const ByteQuarter& quarter, const ByteQueries& queries, float* largest);

}  // namespace damask::kernels::avx2

namespace damask::kernels::avx512vnni {

// queries.lanes() is a multiple of 16.
void ByteMaximaOfRows(const ByteQuarter& quarter, const ByteQueries& queries, float* largest);
void ByteMaximumOfRow(const ByteQuarter& quarter, const ByteQueries& queries, float* largest);

}  // namespace damask::kernels::avx512vnni

namespace damask::kernels::amx {

void TileByteMaxima(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest);
// The same without the hardware.
void TileByteMaximaEmulated(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest);

}  // namespace damask::kernels::amx
