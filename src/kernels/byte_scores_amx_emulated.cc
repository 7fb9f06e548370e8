// The same maxima over tiles in plain C++: for tests, on any CPU that has AVX-512.
#include "kernels/byte_scores_amx-inl.h"

namespace damask::kernels::amx {

void TileByteMaximaEmulated(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest) {
  MaximaByTiles<EmulatedTiles>(quarters, queries, largest);
}

}  // namespace damask::kernels::amx
