// What this machine's units can do at most, measured on the spot: the denominators of "fraction of peak".
#pragma once

#include <cstddef>

#include "base/thread_pool.h"

namespace damask::kernels {

// The units that products run on.
enum class ArithmeticUnit { kFloat32, kBf16Dot, kBf16Tiles, kInt8Dot, kInt16Dot };

// Sums over all threads of a pool; 0 where the CPU has no such unit. Products count two operations a multiply-add.
struct MachinePeaks {
  size_t threads = 0;
  double fma_f32_tflops = 0;    // float32 multiply-adds in the widest registers
  double dot_bf16_tflops = 0;   // vdpbf16ps
  double tile_bf16_tflops = 0;  // AMX
  double dot_int8_tops = 0;     // vpdpbusd; without it vpmaddubsw and vpaddw, which codes of at most 4 bits can do with
  double dot_int16_tops = 0;    // vpmaddwd and vpaddd
  double read_gb_s = 0;         // plain reads from memory, 1e9 bytes a second

  // 1e12 operations a second of one unit.
  double Of(ArithmeticUnit unit) const {
    switch (unit) {
      case ArithmeticUnit::kFloat32: return fma_f32_tflops;
      case ArithmeticUnit::kBf16Dot: return dot_bf16_tflops;
      case ArithmeticUnit::kBf16Tiles: return tile_bf16_tflops;
      case ArithmeticUnit::kInt8Dot: return dot_int8_tops;
      case ArithmeticUnit::kInt16Dot: return dot_int16_tops;
    }
    return 0;
  }

  // The fastest bf16 (or else float32) products of any unit, for products whose inputs are bf16.
  double best_bf16_tflops() const {
    return tile_bf16_tflops > 0 ? tile_bf16_tflops : (dot_bf16_tflops > 0 ? dot_bf16_tflops : fma_f32_tflops);
  }
};

// Takes about 0.3 s and, for the time of the call, 256 MB. Each figure is the best of three.
MachinePeaks MeasurePeaks(ThreadPool* pool);

}  // namespace damask::kernels
