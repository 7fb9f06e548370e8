#include "kernels/byte_vectors_amx-inl.h"

namespace damask::kernels::amx {

void VectorScores(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  ScoresOfVectors<HardwareTiles>(groups, rows, scores, stride);
}

void VectorBest(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  BestOfVectors<HardwareTiles>(groups, rows, bounds, best);
}

}  // namespace damask::kernels::amx
