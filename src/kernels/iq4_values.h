// What the sixteen 4-bit codes of IQ4_NL and IQ4_XS stand for: steps that are finer around zero. Source: the ggml project's
// block formats.
#pragma once

#include <cstdint>

namespace damask::kernels {

inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

}  // namespace damask::kernels
