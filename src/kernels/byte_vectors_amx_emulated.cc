// The same over tiles in plain C++: for tests, on any CPU that has AVX-512.
#include "kernels/byte_vectors_amx-inl.h"

namespace damask::kernels::amx {

void VectorScoresEmulated(const ByteGroups& groups, const ByteQueries& rows, float* scores, size_t stride) {
  ScoresOfVectors<EmulatedTiles>(groups, rows, scores, stride);
}

void VectorBestEmulated(const ByteGroups& groups, const ByteQueries& rows, const float* bounds, float* best) {
  BestOfVectors<EmulatedTiles>(groups, rows, bounds, best);
}

}  // namespace damask::kernels::amx
