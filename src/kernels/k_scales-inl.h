// The scales and minima of a Q4_K or Q5_K super-block: eight of each, 6 bits, packed in 12 bytes behind d and dmin. In an
// unnamed namespace: compiled with wide instruction sets and not to be shared. Source of the layout: the ggml project's block
// formats.
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

struct KScales {
  uint8_t scales[8];
  uint8_t minima[8];
};
static_assert(sizeof(KScales) == 16);  // the vector bodies load both at once

inline KScales UnpackKScales(const std::byte* block) {
  uint32_t in[3];
  __builtin_memcpy(in, block + 4, sizeof(in));
  const uint32_t out[4] = {in[0] & 0x3f3f3f3fu, (in[2] & 0x0f0f0f0fu) | ((in[0] >> 2) & 0x30303030u), in[1] & 0x3f3f3f3fu,
                           ((in[2] >> 4) & 0x0f0f0f0fu) | ((in[1] >> 2) & 0x30303030u)};
  KScales unpacked;
  __builtin_memcpy(&unpacked, out, sizeof(out));
  return unpacked;
}

}  // namespace
}  // namespace damask::kernels
