// Makes the forms of activations that the bodies read.
#pragma once

#include <cstddef>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {

// Fills the forms named by `bits` from x [m, k]; rows are spread over the pool.
void MakeForms(Target target, Phase phase, unsigned bits, const float* x, size_t m, size_t k, size_t x_stride, ThreadPool* pool,
               Activations::Forms* out);

}  // namespace damask::kernels
