#include "kernels/amx/tiles.h"
#include "kernels/peak_loops.h"

namespace damask::kernels::amx {

double TileBf16Loop(size_t iterations) {
  HardwareTiles::Configure(FullTiles());
  for (size_t i = 0; i < iterations; ++i) {
    HardwareTiles::DotBf16<0, 4, 6>();
    HardwareTiles::DotBf16<1, 4, 7>();
    HardwareTiles::DotBf16<2, 5, 6>();
    HardwareTiles::DotBf16<3, 5, 7>();
  }
  HardwareTiles::Release();
  return static_cast<double>(iterations) * 4 * (2.0 * 16 * 16 * 32);
}

}  // namespace damask::kernels::amx
