// The scalar decoders. Layouts from the GGUF specification and ggml's public block definitions; every number is computed as the
// format's formula says, in float32.
#include "kernels/quant.h"

#include <cstdint>
#include <cstring>

#include "base/bf16.h"
#include "kernels/iq4_values.h"
#include "kernels/mxfp4-inl.h"
#include "kernels/quant_targets.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

uint8_t Byte(const std::byte* at) { return static_cast<uint8_t>(*at); }
int SignedByte(const std::byte* at) { return static_cast<int>(static_cast<int8_t>(*at)); }

template <typename T>
T ReadAs(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

float ReadHalf(const std::byte* at) { return HalfToFloat(ReadAs<uint16_t>(at)); }

// Blocks of 32: scale, [minimum,] [fifth bits,] nibbles. Byte j holds element j in its low and element j + 16 in its high
// nibble.
struct SmallBlock {
  bool has_minimum;
  bool has_fifth_bit;
  int offset;  // subtracted from the stored number
};

void DecodeSmallBlocks(const SmallBlock& format, const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32) {
    const float scale = ReadHalf(row);
    row += 2;
    float minimum = 0;
    if (format.has_minimum) {
      minimum = ReadHalf(row);
      row += 2;
    }
    uint32_t fifth = 0;
    if (format.has_fifth_bit) {
      fifth = ReadAs<uint32_t>(row);
      row += 4;
    }
    for (size_t j = 0; j < 16; ++j) {
      const int low = (Byte(row + j) & 15) | static_cast<int>(((fifth >> j) & 1u) << 4);
      const int high = (Byte(row + j) >> 4) | static_cast<int>(((fifth >> (j + 16)) & 1u) << 4);
      out[begin + j] = static_cast<float>(low - format.offset) * scale + minimum;
      out[begin + j + 16] = static_cast<float>(high - format.offset) * scale + minimum;
    }
    row += 16;
  }
}

void DecodeQ8_0(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32, row += 34) {
    const float scale = ReadHalf(row);
    for (size_t j = 0; j < 32; ++j) out[begin + j] = static_cast<float>(SignedByte(row + 2 + j)) * scale;
  }
}

// The 6-bit scale and minimum of sub-block j (0..7), packed into 12 bytes: the first four in the low bits of bytes 0..7, the
// others' low nibbles in bytes 8..11 and their two high bits on top of bytes 0..7.
void UnpackScale(const std::byte* packed, size_t j, float* scale, float* minimum) {
  if (j < 4) {
    *scale = static_cast<float>(Byte(packed + j) & 63);
    *minimum = static_cast<float>(Byte(packed + j + 4) & 63);
    return;
  }
  *scale = static_cast<float>((Byte(packed + j + 4) & 15) | ((Byte(packed + j - 4) >> 6) << 4));
  *minimum = static_cast<float>((Byte(packed + j + 4) >> 4) | ((Byte(packed + j) >> 6) << 4));
}

// Q4_K: d, dmin, 12 bytes of scales, 128 bytes of nibbles; Q5_K has 32 bytes of fifth bits before the nibbles. 32 bytes of
// nibbles hold sub-block 2 g in their low and 2 g + 1 in their high halves.
void DecodeNibbleSuperBlocks(bool has_fifth_bit, const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256) {
    const float d = ReadHalf(row);
    const float dmin = ReadHalf(row + 2);
    const std::byte* packed_scales = row + 4;
    const std::byte* fifth = row + 16;
    const std::byte* nibbles = row + (has_fifth_bit ? 48 : 16);
    for (size_t sub = 0; sub < 8; ++sub) {
      float scale = 0;
      float minimum = 0;
      UnpackScale(packed_scales, sub, &scale, &minimum);
      for (size_t j = 0; j < 32; ++j) {
        int number = Byte(nibbles + (sub / 2) * 32 + j) >> (sub % 2 == 0 ? 0 : 4) & 15;
        if (has_fifth_bit) number |= ((Byte(fifth + j) >> sub) & 1) << 4;
        out[begin + sub * 32 + j] = d * scale * static_cast<float>(number) - dmin * minimum;
      }
    }
    row = nibbles + 128;
  }
}

// Q6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d. Each half of 128 numbers has 64 and 32
// bytes: quarter q of the half (32 numbers) takes nibbles from bytes 32 (q % 2) .. and bit pair q of the 32 bytes.
void DecodeQ6_K(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 210) {
    const float d = ReadHalf(row + 208);
    for (size_t i = 0; i < 256; ++i) {
      const size_t half = i / 128;
      const size_t quarter = i % 128 / 32;
      const size_t j = i % 32;
      const int low = Byte(row + half * 64 + (quarter % 2) * 32 + j) >> (quarter < 2 ? 0 : 4) & 15;
      const int high = Byte(row + 128 + half * 32 + j) >> (2 * quarter) & 3;
      const int scale = SignedByte(row + 192 + i / 16);
      out[begin + i] = d * static_cast<float>(scale) * static_cast<float>((low | (high << 4)) - 32);
    }
  }
}

// Two bits of number i of a super-block of Q2_K or Q3_K: each half of 128 numbers has 32 bytes, quarter q of it (32 numbers)
// takes bit pair q of them.
int TwoBits(const std::byte* pairs, size_t i) { return Byte(pairs + i / 128 * 32 + i % 32) >> (2 * (i % 128 / 32)) & 3; }

// Q2_K: 16 bytes of scales (low halves) and minima (high halves), 64 bytes of bit pairs, d, dmin.
void DecodeQ2_K(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 84) {
    const float d = ReadHalf(row + 80);
    const float dmin = ReadHalf(row + 82);
    for (size_t i = 0; i < 256; ++i) {
      const auto scale = static_cast<float>(Byte(row + i / 16) & 15);
      const auto minimum = static_cast<float>(Byte(row + i / 16) >> 4);
      out[begin + i] = d * scale * static_cast<float>(TwoBits(row + 16, i)) - dmin * minimum;
    }
  }
}

// Q3_K: 32 bytes of third bits (bit b of byte j: number 32 b + j), 64 bytes of bit pairs, 12 bytes of scales, d. Of sixteen
// scales of 6 bits, offset by 32, the low four bits lie in bytes 0..7 (the first eight in the low halves), the others in
// bytes 8..11.
void DecodeQ3_K(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 110) {
    const std::byte* scales = row + 96;
    const float d = ReadHalf(row + 108);
    for (size_t i = 0; i < 256; ++i) {
      const size_t b = i / 16;
      const int low = Byte(scales + b % 8) >> (b < 8 ? 0 : 4) & 15;
      const int high = Byte(scales + 8 + b % 4) >> (2 * (b / 4)) & 3;
      const int third = Byte(row + i % 32) >> (i / 32) & 1;
      out[begin + i] =
          d * static_cast<float>((low | high << 4) - 32) * static_cast<float>((TwoBits(row + 32, i) | third << 2) - 4);
    }
  }
}

// 32 numbers by the table: byte j holds number j in its low and number j + 16 in its high half.
void DecodeIq4(const std::byte* nibbles, float scale, float* out) {
  for (size_t j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>(kIq4Values[Byte(nibbles + j) & 15]);
    out[j + 16] = scale * static_cast<float>(kIq4Values[Byte(nibbles + j) >> 4]);
  }
}

// IQ4_NL: d and nibbles of 32 numbers.
void DecodeIQ4_NL(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32, row += 18) DecodeIq4(row + 2, ReadHalf(row), out + begin);
}

// IQ4_XS: d, the high two bits of eight scales in a word, their low four bits in 4 bytes, nibbles of 256 numbers.
void DecodeIQ4_XS(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 256, row += 136) {
    const float d = ReadHalf(row);
    const auto highs = ReadAs<uint16_t>(row + 2);
    for (size_t sub = 0; sub < 8; ++sub) {
      const int low = Byte(row + 4 + sub / 2) >> (sub % 2 == 0 ? 0 : 4) & 15;
      const int high = highs >> (2 * sub) & 3;
      DecodeIq4(row + 8 + sub * 16, d * static_cast<float>((low | high << 4) - 32), out + begin + sub * 32);
    }
  }
}

// MXFP4: the scale's exponent and nibbles of 32 numbers, as in IQ4_NL.
void DecodeMXFP4(const std::byte* row, size_t values, float* out) {
  for (size_t begin = 0; begin < values; begin += 32, row += kMxfp4Bytes) {
    const float scale = Mxfp4Scale(row[0]);
    for (size_t j = 0; j < 16; ++j) {
      out[begin + j] = scale * static_cast<float>(kMxfp4Values[Byte(row + 1 + j) & 15]);
      out[begin + j + 16] = scale * static_cast<float>(kMxfp4Values[Byte(row + 1 + j) >> 4]);
    }
  }
}

}  // namespace

void DequantizeRow(TensorType type, const std::byte* row, size_t values, float* out) {
  switch (type) {
    case TensorType::kF32: std::memcpy(out, row, values * sizeof(float)); return;
    case TensorType::kF16:
      for (size_t i = 0; i < values; ++i) out[i] = ReadHalf(row + 2 * i);
      return;
    case TensorType::kBF16:
      for (size_t i = 0; i < values; ++i) out[i] = ToFloat(bf16{ReadAs<uint16_t>(row + 2 * i)});
      return;
    case TensorType::kQ8_0: DecodeQ8_0(row, values, out); return;
    case TensorType::kQ4_0: DecodeSmallBlocks({false, false, 8}, row, values, out); return;
    case TensorType::kQ4_1: DecodeSmallBlocks({true, false, 0}, row, values, out); return;
    case TensorType::kQ5_0: DecodeSmallBlocks({false, true, 16}, row, values, out); return;
    case TensorType::kQ5_1: DecodeSmallBlocks({true, true, 0}, row, values, out); return;
    case TensorType::kQ2_K: DecodeQ2_K(row, values, out); return;
    case TensorType::kQ3_K: DecodeQ3_K(row, values, out); return;
    case TensorType::kQ4_K: DecodeNibbleSuperBlocks(false, row, values, out); return;
    case TensorType::kQ5_K: DecodeNibbleSuperBlocks(true, row, values, out); return;
    case TensorType::kQ6_K: DecodeQ6_K(row, values, out); return;
    case TensorType::kIQ4_NL: DecodeIQ4_NL(row, values, out); return;
    case TensorType::kIQ4_XS: DecodeIQ4_XS(row, values, out); return;
    case TensorType::kMXFP4: DecodeMXFP4(row, values, out); return;
  }
}

void DequantizeRow(Target target, TensorType type, const std::byte* row, size_t values, float* out) {
#if defined(__x86_64__)
  if (target >= Target::kAvx512) {
    avx512::DequantizeRow(type, row, values, out);
    return;
  }
  if (target >= Target::kAvx2) {
    avx2::DequantizeRow(type, row, values, out);
    return;
  }
#endif
  DequantizeRow(type, row, values, out);
}

}  // namespace damask::kernels
