// Bodies of byte_vectors.h with an instruction set of their own.
#pragma once

#include "kernels/byte_vectors.h"

namespace damask::kernels::avx2 {

void VectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride);
void VectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best);

}  // namespace damask::kernels::avx2

namespace damask::kernels::avx512vnni {

void VectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride);
void VectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best);

}  // namespace damask::kernels::avx512vnni

namespace damask::kernels::amx {

void VectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride);
void VectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best);
// The same without the hardware.
void VectorScoresEmulated(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride);
void VectorBestEmulated(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best);

}  // namespace damask::kernels::amx
