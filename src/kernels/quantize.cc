// Encoding rows into GGUF's block formats. Scales come from each block's range alone: one pass, no search.
// Source of the layouts: the block structures of the ggml project (ggml-common.h); value = how the decoder reads it back.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/bf16.h"
#include "kernels/iq4_values.h"
#include "kernels/mxfp4-inl.h"
#include "kernels/quant.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

// Nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves it in the low bits. Faster than lrintf, which GCC
// calls.
inline int Round(float x) { return std::bit_cast<int32_t>(x + 12582912.0f) - 0x4b400000; }

inline int RoundTo(float x, int low, int high) {
  return Round(std::clamp(x, static_cast<float>(low), static_cast<float>(high)));
}

inline float Inverse(float x) { return x != 0.0f ? 1.0f / x : 0.0f; }

// Writes x as a half and gives what a reader will see.
float PutHalf(float x, std::byte* out) {
  const uint16_t half = FloatToHalf(x);
  std::memcpy(out, &half, sizeof(half));
  return HalfToFloat(half);
}

struct Range {
  float low, high;
};

Range FindRange(const float* x, size_t count) {
  Range range{x[0], x[0]};
  for (size_t i = 1; i < count; ++i) {
    range.low = std::min(range.low, x[i]);
    range.high = std::max(range.high, x[i]);
  }
  return range;
}

// The value farthest from zero, with its sign. Signed formats have one more step below zero than above: giving it to this value
// makes the step of all others smaller.
float FindExtreme(const float* x, size_t count) {
  const Range range = FindRange(x, count);
  return range.high > -range.low ? range.high : range.low;
}

// Two 4-bit values a byte: the first half of the block in the low bits, the second in the high ones.
void PackNibbles(const uint8_t* q, size_t half, std::byte* out) {
  for (size_t i = 0; i < half; ++i) out[i] = static_cast<std::byte>((q[i] & 15) | (q[i + half] & 15) << 4);
}

void EncodeQ8_0(const float* x, std::byte* out) {  // d, q[32]: d * q
  const Range range = FindRange(x, 32);
  const float inverse = Inverse(PutHalf(std::max(range.high, -range.low) / 127.0f, out));
  for (size_t i = 0; i < 32; ++i) out[2 + i] = static_cast<std::byte>(RoundTo(x[i] * inverse, -127, 127));
}

// The fifth bits of 32 values, value i at bit i.
void PutFifthBits(const uint8_t* q, std::byte* out) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(q[i] >> 4) << i;
  std::memcpy(out, &bits, sizeof(bits));
}

// Q4_0 (d, nibbles) and Q5_0 (d, fifth bits, nibbles): d * (q - 2^(bits-1)).
template <int kBits>
void EncodeSymmetric(const float* x, std::byte* out) {
  constexpr int kMiddle = 1 << (kBits - 1);
  const float inverse = Inverse(PutHalf(-FindExtreme(x, 32) / kMiddle, out));
  uint8_t q[32];
  for (size_t i = 0; i < 32; ++i) {
    q[i] = static_cast<uint8_t>(RoundTo(x[i] * inverse + static_cast<float>(kMiddle), 0, 2 * kMiddle - 1));
  }
  if (kBits == 5) PutFifthBits(q, out + 2);
  PackNibbles(q, 16, out + (kBits == 5 ? 6 : 2));
}

// Q4_1 (d, m, nibbles) and Q5_1 (d, m, fifth bits, nibbles): d * q + m.
template <int kBits>
void EncodeWithMinimum(const float* x, std::byte* out) {
  constexpr int kTop = (1 << kBits) - 1;
  const Range range = FindRange(x, 32);
  const float inverse = Inverse(PutHalf((range.high - range.low) / kTop, out));
  const float low = PutHalf(range.low, out + 2);
  uint8_t q[32];
  for (size_t i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(RoundTo((x[i] - low) * inverse, 0, kTop));
  if (kBits == 5) PutFifthBits(q, out + 4);
  PackNibbles(q, 16, out + (kBits == 5 ? 8 : 4));
}

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each lie in bytes 0-3 and 4-7; of the last four the
// low bits share bytes 8-11 and the two high bits sit on top of the first four.
void PackScales(const uint8_t* scales, const uint8_t* minima, std::byte* out) {
  for (size_t i = 0; i < 4; ++i) {
    out[i] = static_cast<std::byte>(scales[i] | (scales[i + 4] >> 4) << 6);
    out[i + 4] = static_cast<std::byte>(minima[i] | (minima[i + 4] >> 4) << 6);
    out[i + 8] = static_cast<std::byte>((scales[i + 4] & 15) | (minima[i + 4] & 15) << 4);
  }
}

// A super-block of kBlocks blocks with a scale and a minimum each: d * scale * q - dmin * minimum.
template <size_t kBlocks>
struct FitWithMinima {
  uint8_t scales[kBlocks];
  uint8_t minima[kBlocks];
  uint8_t q[256];
};

// q up to `top`, scales and minima up to `scale_top`; writes d and dmin.
template <size_t kBlocks>
FitWithMinima<kBlocks> FitSuperBlock(const float* x, int top, int scale_top, std::byte* d_and_dmin) {
  constexpr size_t kNumbers = 256 / kBlocks;
  float steps[kBlocks], floors[kBlocks];
  for (size_t b = 0; b < kBlocks; ++b) {
    const Range range = FindRange(x + kNumbers * b, kNumbers);
    floors[b] = std::max(0.0f, -range.low);  // a minimum can only lower the values
    steps[b] = std::max(0.0f, range.high + floors[b]) / static_cast<float>(top);
  }
  const float d = PutHalf(*std::max_element(steps, steps + kBlocks) / static_cast<float>(scale_top), d_and_dmin);
  const float dmin = PutHalf(*std::max_element(floors, floors + kBlocks) / static_cast<float>(scale_top), d_and_dmin + 2);
  FitWithMinima<kBlocks> fit;
  for (size_t b = 0; b < kBlocks; ++b) {
    fit.scales[b] = static_cast<uint8_t>(RoundTo(steps[b] * Inverse(d), 0, scale_top));
    fit.minima[b] = static_cast<uint8_t>(RoundTo(floors[b] * Inverse(dmin), 0, scale_top));
    const float inverse = Inverse(d * fit.scales[b]);
    const float floor = dmin * fit.minima[b];
    for (size_t i = kNumbers * b; i < kNumbers * (b + 1); ++i) {
      fit.q[i] = static_cast<uint8_t>(RoundTo((x[i] + floor) * inverse, 0, top));
    }
  }
  return fit;
}

// Q4_K (d, dmin, scales, nibbles) and Q5_K (d, dmin, scales, fifth bits, nibbles): d * scale * q - dmin * minimum, with a scale
// and a minimum for every 32 of the 256 values.
template <int kBits>
void EncodeSuperBlock(const float* x, std::byte* out) {
  const auto fit = FitSuperBlock<8>(x, (1 << kBits) - 1, 63, out);
  const uint8_t* q = fit.q;
  PackScales(fit.scales, fit.minima, out + 4);
  std::byte* nibbles = out + 16;
  if (kBits == 5) {  // byte i holds the fifth bits of values i, 32 + i, 64 + i, ...
    for (size_t i = 0; i < 32; ++i) {
      unsigned bits = 0;
      for (size_t b = 0; b < 8; ++b) bits |= static_cast<unsigned>(q[32 * b + i] >> 4) << b;
      nibbles[i] = static_cast<std::byte>(bits);
    }
    nibbles += 32;
  }
  for (size_t pair = 0; pair < 4; ++pair) PackNibbles(q + 64 * pair, 32, nibbles + 32 * pair);
}

// Of 128 values: their low four bits in 64 bytes (value i and i + 64 share one), their high two in 32 (i, i + 32, i + 64, i +
// 96).
void PackSixBits(const uint8_t* q, std::byte* low, std::byte* high) {
  PackNibbles(q, 64, low);
  for (size_t i = 0; i < 32; ++i) {
    high[i] = static_cast<std::byte>(q[i] >> 4 | (q[i + 32] >> 4) << 2 | (q[i + 64] >> 4) << 4 | (q[i + 96] >> 4) << 6);
  }
}

// A super-block of sixteen blocks with a signed scale each: d * scale * (q - middle).
struct FitWithOffset {
  int8_t scales[16];
  uint8_t q[256];
};

// q below 2 * middle, scales from -scale_middle to scale_middle - 1; writes d.
FitWithOffset FitSixteens(const float* x, int middle, int scale_middle, std::byte* d_out) {
  float steps[16];
  for (size_t b = 0; b < 16; ++b) steps[b] = -FindExtreme(x + 16 * b, 16) / static_cast<float>(middle);
  const float d = PutHalf(-FindExtreme(steps, 16) / static_cast<float>(scale_middle), d_out);
  FitWithOffset fit;
  for (size_t b = 0; b < 16; ++b) {
    fit.scales[b] = static_cast<int8_t>(RoundTo(steps[b] * Inverse(d), -scale_middle, scale_middle - 1));
    const float inverse = Inverse(d * fit.scales[b]);
    for (size_t i = 16 * b; i < 16 * b + 16; ++i) {
      fit.q[i] = static_cast<uint8_t>(RoundTo(x[i] * inverse + static_cast<float>(middle), 0, 2 * middle - 1));
    }
  }
  return fit;
}

void EncodeQ6_K(const float* x, std::byte* out) {  // low[128], high[64], scales[16], d: d * scale * (q - 32)
  const FitWithOffset fit = FitSixteens(x, 32, 128, out + 208);
  std::memcpy(out + 192, fit.scales, sizeof(fit.scales));
  PackSixBits(fit.q, out, out + 128);
  PackSixBits(fit.q + 128, out + 64, out + 160);
}

// Bit pairs of 256 numbers: each half of 128 has 32 bytes, one pair of each of its quarters a byte.
void PackPairs(const uint8_t* q, std::byte* out) {
  for (size_t i = 0; i < 64; ++i) {
    const uint8_t* first = q + i / 32 * 128 + i % 32;
    unsigned pairs = 0;
    for (size_t quarter = 0; quarter < 4; ++quarter) pairs |= (first[32 * quarter] & 3u) << (2 * quarter);
    out[i] = static_cast<std::byte>(pairs);
  }
}

void EncodeQ2_K(const float* x, std::byte* out) {  // scales[16], pairs[64], d, dmin: d * scale * q - dmin * minimum
  const auto fit = FitSuperBlock<16>(x, 3, 15, out + 80);
  for (size_t b = 0; b < 16; ++b) out[b] = static_cast<std::byte>(fit.scales[b] | fit.minima[b] << 4);
  PackPairs(fit.q, out + 16);
}

void EncodeQ3_K(const float* x, std::byte* out) {  // third bits[32], pairs[64], scales[12], d: d * (scale - 32) * (q - 4)
  const FitWithOffset fit = FitSixteens(x, 4, 32, out + 108);
  std::memset(out, 0, 108);
  for (size_t i = 0; i < 256; ++i) out[i % 32] |= static_cast<std::byte>((fit.q[i] >> 2) << (i / 32));
  PackPairs(fit.q, out + 32);
  for (size_t b = 0; b < 16; ++b) {
    const auto stored = static_cast<unsigned>(fit.scales[b] + 32);
    out[96 + b % 8] |= static_cast<std::byte>((stored & 15) << (b < 8 ? 0 : 4));
    out[104 + b % 4] |= static_cast<std::byte>((stored >> 4) << (2 * (b / 4)));
  }
}

// 32 numbers as the nearest of sixteen.
void PackIq4(const float* x, float inverse, std::byte* out) {
  uint8_t q[32];
  for (size_t i = 0; i < 32; ++i) {
    const float target = x[i] * inverse;
    const auto nearer = [target](int8_t a, int8_t b) { return std::fabs(target - a) < std::fabs(target - b); };
    q[i] =
        static_cast<uint8_t>(std::min_element(std::begin(kIq4Values), std::end(kIq4Values), nearer) - std::begin(kIq4Values));
  }
  PackNibbles(q, 16, out);
}

void EncodeIQ4_NL(const float* x, std::byte* out) {  // d, nibbles: d * kIq4Values[q]
  PackIq4(x, Inverse(PutHalf(FindExtreme(x, 32) / kIq4Values[0], out)), out + 2);
}

void EncodeIQ4_XS(const float* x, std::byte* out) {  // d, scales, nibbles: d * (scale - 32) * kIq4Values[q]
  float steps[8];
  for (size_t b = 0; b < 8; ++b) steps[b] = FindExtreme(x + 32 * b, 32) / kIq4Values[0];
  const float d = PutHalf(-FindExtreme(steps, 8) / 32.0f, out);
  uint16_t highs = 0;
  uint32_t lows = 0;
  for (size_t b = 0; b < 8; ++b) {
    const int scale = RoundTo(steps[b] * Inverse(d), -32, 31);
    const auto stored = static_cast<unsigned>(scale + 32);
    lows |= (stored & 15) << (4 * b);
    highs = static_cast<uint16_t>(highs | (stored >> 4) << (2 * b));
    PackIq4(x + 32 * b, Inverse(d * static_cast<float>(scale)), out + 8 + 16 * b);
  }
  std::memcpy(out + 2, &highs, sizeof(highs));
  std::memcpy(out + 4, &lows, sizeof(lows));
}

// The nearest of the sixteen numbers; of two as near the one with the even code, as rounding to them does.
void EncodeMXFP4(const float* x, std::byte* out) {  // exponent, nibbles: 2^(exponent - 128) * kMxfp4Values[q]
  // The largest number lies in the binade of 12, which holds 8 and 12: what is beyond 12 becomes 12.
  const float extreme = std::fabs(FindExtreme(x, 32));
  const int exponent = extreme > 0.0f ? std::clamp(std::ilogb(extreme) - 3 + 128, 0, 254) : 0;
  out[0] = static_cast<std::byte>(exponent);
  const float inverse = 1.0f / Mxfp4Scale(out[0]);
  uint8_t q[32];
  for (size_t i = 0; i < 32; ++i) {
    const float target = std::fabs(x[i] * inverse);
    uint8_t best = 0;
    for (uint8_t code = 1; code < 8; ++code) {
      const float gain = std::fabs(target - kMxfp4Values[best]) - std::fabs(target - kMxfp4Values[code]);
      if (gain > 0.0f || (gain == 0.0f && code % 2 == 0)) best = code;
    }
    q[i] = static_cast<uint8_t>(best | (std::signbit(x[i]) ? 8 : 0));
  }
  PackNibbles(q, 16, out + 1);
}

void EncodeF16(const float* x, std::byte* out) { PutHalf(*x, out); }

void EncodeBF16(const float* x, std::byte* out) {
  const bf16 value = ToBf16(*x);
  std::memcpy(out, &value, sizeof(value));
}

// Inlined for every format, so that the small ones do not pay a call for each value.
template <size_t kValues, size_t kBytes, void (*Encode)(const float*, std::byte*)>
void EncodeBlocks(const float* x, size_t values, std::byte* out) {
  for (size_t i = 0; i < values / kValues; ++i) Encode(x + i * kValues, out + i * kBytes);
}

}  // namespace

void QuantizeRow(TensorType type, const float* x, size_t values, std::byte* out) {
  switch (type) {
    case TensorType::kF32: std::memcpy(out, x, values * sizeof(float)); return;
    case TensorType::kF16: return EncodeBlocks<1, 2, EncodeF16>(x, values, out);
    case TensorType::kBF16: return EncodeBlocks<1, 2, EncodeBF16>(x, values, out);
    case TensorType::kQ4_0: return EncodeBlocks<32, 18, EncodeSymmetric<4>>(x, values, out);
    case TensorType::kQ4_1: return EncodeBlocks<32, 20, EncodeWithMinimum<4>>(x, values, out);
    case TensorType::kQ5_0: return EncodeBlocks<32, 22, EncodeSymmetric<5>>(x, values, out);
    case TensorType::kQ5_1: return EncodeBlocks<32, 24, EncodeWithMinimum<5>>(x, values, out);
    case TensorType::kQ8_0: return EncodeBlocks<32, 34, EncodeQ8_0>(x, values, out);
    case TensorType::kQ2_K: return EncodeBlocks<256, 84, EncodeQ2_K>(x, values, out);
    case TensorType::kQ3_K: return EncodeBlocks<256, 110, EncodeQ3_K>(x, values, out);
    case TensorType::kQ4_K: return EncodeBlocks<256, 144, EncodeSuperBlock<4>>(x, values, out);
    case TensorType::kQ5_K: return EncodeBlocks<256, 176, EncodeSuperBlock<5>>(x, values, out);
    case TensorType::kQ6_K: return EncodeBlocks<256, 210, EncodeQ6_K>(x, values, out);
    case TensorType::kIQ4_NL: return EncodeBlocks<32, 18, EncodeIQ4_NL>(x, values, out);
    case TensorType::kIQ4_XS: return EncodeBlocks<256, 136, EncodeIQ4_XS>(x, values, out);
    case TensorType::kMXFP4: return EncodeBlocks<32, kMxfp4Bytes, EncodeMXFP4>(x, values, out);
  }
}

}  // namespace damask::kernels
