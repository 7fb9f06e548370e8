// The scales of super-blocks, unpacked. In an unnamed namespace: compiled with wide instruction sets and not to be shared.
// Source of the layouts: the ggml project's block formats.
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::kernels {
namespace {  // NOLINT(google-build-namespaces)

// Q4_K, Q5_K: eight scales and eight minima of 6 bits, packed in 12 bytes behind d and dmin.
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

struct SixteenScales {
  int8_t scales[16];
};

// Q3_K: scales of 6 bits with an offset, packed in 12 bytes before d.
inline SixteenScales UnpackQ3Scales(const std::byte* block) {
  uint32_t in[3];
  __builtin_memcpy(in, block + 96, sizeof(in));
  uint32_t out[4];
  for (unsigned i = 0; i < 4; ++i) {
    const uint32_t low = in[i % 2] >> (i < 2 ? 0 : 4) & 0x0f0f0f0fu;
    const uint32_t high = in[2] >> (2 * i) & 0x03030303u;
    out[i] = low | high << 4;
  }
  SixteenScales unpacked;
  __builtin_memcpy(&unpacked, out, sizeof(out));
  for (int8_t& scale : unpacked.scales) scale = static_cast<int8_t>(scale - 32);
  return unpacked;
}

}  // namespace
}  // namespace damask::kernels
