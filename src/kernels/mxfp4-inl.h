// MXFP4: blocks of 32 numbers of four bits (one of the sign, two of the exponent, one of the fraction) with a power of two as
// their scale. Source: OCP Microscaling Formats (MX) Specification v1.0; the layout is the ggml project's, which stores twice
// the numbers and half the scale, so that all numbers are integers. In an unnamed namespace: compiled with several instruction
// sets and not to be shared.
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
constexpr size_t kMxfp4Bytes = 17;  // the scale's exponent and 16 bytes of codes

// 2^(exponent - 128); the last exponent is NaN.
inline float Mxfp4Scale(std::byte exponent) {
  const auto e = static_cast<uint32_t>(exponent);
  const uint32_t bits = e < 2 ? 0x00200000u << e : e == 255 ? 0x7fc00000u : (e - 1) << 23;  // the smallest two are denormal
  float scale;
  __builtin_memcpy(&scale, &bits, sizeof(scale));
  return scale;
}

}  // namespace
}  // namespace damask::kernels
