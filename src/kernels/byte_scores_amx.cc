#include "kernels/byte_scores_amx-inl.h"

namespace damask::kernels::amx {

void TileByteMaxima(std::span<const ByteQuarter> quarters, const ByteQueries& queries, float* largest) {
  MaximaByTiles<HardwareTiles>(quarters, queries, largest);
}

}  // namespace damask::kernels::amx
