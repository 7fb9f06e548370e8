#include "kernels/scores-inl.h"

namespace damask::kernels {

const ScoresBody& Avx512Scores() { return kBody; }

}  // namespace damask::kernels
