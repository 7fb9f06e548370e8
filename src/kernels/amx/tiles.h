// AMX tiles behind one small interface with two backends: the hardware, and plain C++ with the same semantics, so that kernels
// written over tiles are tested on machines without them. Kernels are templates over the backend.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (LDTILECFG, TILELOADD, TDPBF16PS, TDPBSSD).
//
// Everything is in an unnamed namespace: these functions are compiled with wide instruction sets and must not be shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace damask::kernels::amx {
namespace {

inline constexpr size_t kNumTiles = 8;
inline constexpr size_t kTileRows = 16;
inline constexpr size_t kTileBytes = 64;  // of a row

// The operand of LDTILECFG, palette 1.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void Set(size_t tile, size_t num_rows, size_t num_bytes) {
    rows[tile] = static_cast<uint8_t>(num_rows);
    row_bytes[tile] = static_cast<uint16_t>(num_bytes);
  }
};
static_assert(sizeof(TileConfig) == 64);

// Eight tiles of 16 rows x 64 bytes.
[[maybe_unused]] TileConfig FullTiles() {
  TileConfig config;
  for (size_t tile = 0; tile < kNumTiles; ++tile) config.Set(tile, kTileRows, kTileBytes);
  return config;
}

#if defined(__AMX_TILE__)

// The compiler's own intrinsics want tile numbers as literals, which template arguments are not, and GCC 12's tell the compiler
// nothing of the memory they read: stores that should come before may move behind. Hence these few lines of assembler.
struct HardwareTiles {
  // The configuration belongs to the thread. Release() gives the tile state back (and with it the cost of saving 8 KiB at every
  // context switch); all tiles are zero after either.
  static void Configure(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config) : "memory"); }
  static void Release() { asm volatile("tilerelease" : : : "memory"); }

  template <int kTile>
  static void Zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  // Rows lie `stride` bytes apart.
  template <int kTile>
  static void Load(const void* base, size_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(base), "r"(stride), "i"(kTile) : "memory");
  }
  // The same for data that is used once: it does not push others out of L1.
  template <int kTile>
  static void StreamLoad(const void* base, size_t stride) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(base), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  static void Store(void* base, size_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(base), "r"(stride), "i"(kTile) : "memory");
  }
  // C [m][n] f32 += A [m][2k] bf16 * B [k][2n] bf16 in pairs.
  template <int kC, int kA, int kB>
  static void DotBf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  // C [m][n] i32 += A [m][4k] i8 * B [k][4n] i8 in fours.
  template <int kC, int kA, int kB>
  static void DotBytes() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

#endif

// Faults of the hardware (an impossible configuration, tiles whose shapes do not fit, use without a configuration) trap.
struct EmulatedTiles {
  struct State {
    bool configured = false;
    TileConfig config;
    alignas(64) uint8_t tiles[kNumTiles][kTileRows][kTileBytes];
  };
  static State& state() {
    static thread_local State state;
    return state;
  }
  static void Check(bool condition) {
    if (!condition) __builtin_trap();
  }

  static void Configure(const TileConfig& config) {
    Check(config.palette == 1 && config.start_row == 0);
    for (const uint8_t byte : config.reserved) Check(byte == 0);
    for (size_t tile = 0; tile < 16; ++tile) {
      Check(tile < kNumTiles || (config.rows[tile] == 0 && config.row_bytes[tile] == 0));
      Check(config.rows[tile] <= kTileRows && config.row_bytes[tile] <= kTileBytes);
      Check((config.rows[tile] == 0) == (config.row_bytes[tile] == 0));
    }
    state().config = config;
    state().configured = true;
    std::memset(state().tiles, 0, sizeof(state().tiles));
  }
  static void Release() {
    std::memset(state().tiles, 0, sizeof(state().tiles));
    state().configured = false;
  }

  template <int kTile>
  static void Zero() {
    CheckTile<kTile>();
    std::memset(state().tiles[kTile], 0, sizeof(state().tiles[kTile]));
  }
  template <int kTile>
  static void Load(const void* base, size_t stride) {
    Zero<kTile>();
    for (size_t row = 0; row < rows<kTile>(); ++row) {
      std::memcpy(state().tiles[kTile][row], static_cast<const uint8_t*>(base) + row * stride, row_bytes<kTile>());
    }
  }
  template <int kTile>
  static void StreamLoad(const void* base, size_t stride) {
    Load<kTile>(base, stride);
  }
  template <int kTile>
  static void Store(void* base, size_t stride) {
    CheckTile<kTile>();
    for (size_t row = 0; row < rows<kTile>(); ++row) {
      std::memcpy(static_cast<uint8_t*>(base) + row * stride, state().tiles[kTile][row], row_bytes<kTile>());
    }
  }

  // As TDPBF16PS does it: even and odd products are summed apart, then together, then added to C; denormals are zero.
  template <int kC, int kA, int kB>
  static void DotBf16() {
    CheckDot<kC, kA, kB>();
    for (size_t m = 0; m < rows<kC>(); ++m) {
      for (size_t n = 0; n < row_bytes<kC>() / 4; ++n) {
        float sums[2] = {0.0f, 0.0f};
        for (size_t k = 0; k < row_bytes<kA>() / 4; ++k) {
          for (size_t i = 0; i < 2; ++i) {
            sums[i] = Flush(__builtin_fmaf(Bf16<kA>(m, 2 * k + i), Bf16<kB>(k, 2 * n + i), sums[i]));
          }
        }
        float c;
        std::memcpy(&c, &state().tiles[kC][m][n * 4], 4);
        c = Flush(Flush(c) + Flush(sums[0] + sums[1]));
        std::memcpy(&state().tiles[kC][m][n * 4], &c, 4);
      }
    }
  }
  template <int kC, int kA, int kB>
  static void DotBytes() {
    CheckDot<kC, kA, kB>();
    for (size_t m = 0; m < rows<kC>(); ++m) {
      for (size_t n = 0; n < row_bytes<kC>() / 4; ++n) {
        int32_t c;
        std::memcpy(&c, &state().tiles[kC][m][n * 4], 4);
        for (size_t k = 0; k < row_bytes<kA>(); ++k) c += Byte<kA>(m, k) * Byte<kB>(k / 4, 4 * n + k % 4);
        std::memcpy(&state().tiles[kC][m][n * 4], &c, 4);
      }
    }
  }

 private:
  template <int kTile>
  static size_t rows() {
    return state().config.rows[kTile];
  }
  template <int kTile>
  static size_t row_bytes() {
    return state().config.row_bytes[kTile];
  }
  template <int kTile>
  static void CheckTile() {
    Check(state().configured && rows<kTile>() != 0);
  }
  template <int kC, int kA, int kB>
  static void CheckDot() {
    static_assert(kC != kA && kC != kB && kA != kB);
    CheckTile<kC>();
    CheckTile<kA>();
    CheckTile<kB>();
    Check(rows<kC>() == rows<kA>() && row_bytes<kC>() == row_bytes<kB>() && row_bytes<kA>() / 4 == rows<kB>());
    Check(row_bytes<kA>() % 4 == 0 && row_bytes<kB>() % 4 == 0);
  }
  template <int kTile>
  static int32_t Byte(size_t row, size_t column) {
    int8_t byte;
    std::memcpy(&byte, &state().tiles[kTile][row][column], 1);
    return byte;
  }
  static float Flush(float x) { return x > -0x1p-126f && x < 0x1p-126f ? 0.0f : x; }
  template <int kTile>
  static float Bf16(size_t row, size_t column) {
    uint16_t bits;
    std::memcpy(&bits, &state().tiles[kTile][row][column * 2], 2);
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return Flush(value);
  }
};

}  // namespace
}  // namespace damask::kernels::amx
