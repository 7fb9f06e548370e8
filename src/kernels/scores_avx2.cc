#include "kernels/scores-inl.h"

namespace damask::kernels {

const ScoresBody& Avx2Scores() { return kBody; }

}  // namespace damask::kernels
