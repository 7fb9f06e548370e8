// The bodies of each instruction set, as matmul_dispatch.cc lists them.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {

// Ends one element: `value` is x.w, `up_value` x.up (SwiGLU only).
void StoreElement(const Product& product, size_t m, size_t n, float value, float up_value);

namespace scalar {
void Multiply(const Product& product, const Part& part, Scratch* scratch);
}  // namespace scalar

}  // namespace damask::kernels
