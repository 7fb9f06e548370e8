// The loops that MeasurePeaks times, by instruction set. Each runs `iterations` times a block of independent instructions and
// gives the operations done.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace damask::kernels {

namespace generic {
double FmaLoop(size_t iterations);
uint64_t ReadLoop(const std::byte* data, size_t bytes);  // a checksum, so that nothing is left out
}  // namespace generic

namespace avx2 {
double FmaLoop(size_t iterations);
double DotInt16Loop(size_t iterations);
double DotInt8Loop(size_t iterations);
}  // namespace avx2

namespace avx512 {
double FmaLoop(size_t iterations);
uint64_t ReadLoop(const std::byte* data, size_t bytes);
}  // namespace avx512

namespace avx512vnni {
double DotInt8Loop(size_t iterations);
}  // namespace avx512vnni

namespace avx512bf16 {
double DotBf16Loop(size_t iterations);
}  // namespace avx512bf16

namespace amx {
double TileBf16Loop(size_t iterations);
}  // namespace amx

// A loop, and how often it goes round in some ten milliseconds.
struct ArithmeticLoop {
  double (*run)(size_t iterations) = nullptr;
  size_t iterations = 0;
};

// What the units of a target are measured by; no loop where it has no such unit.
struct PeakLoops {
  ArithmeticLoop fma_f32;
  ArithmeticLoop dot_bf16;
  ArithmeticLoop dot_int8;
  ArithmeticLoop dot_int16;
  ArithmeticLoop tile_bf16;
  uint64_t (*read)(const std::byte* data, size_t bytes) = nullptr;
};

PeakLoops LoopsOf(Target target);

}  // namespace damask::kernels
