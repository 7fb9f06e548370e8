// The loops that MeasurePeaks times, by instruction set. Each runs `iterations` times a block of independent instructions and
// gives the operations done.
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::kernels {

namespace generic {
double FmaLoop(size_t iterations);
uint64_t ReadLoop(const std::byte* data, size_t bytes);  // a checksum, so that nothing is left out
}  // namespace generic

namespace avx2 {
double FmaLoop(size_t iterations);
}  // namespace avx2

namespace avx512bf16 {
double FmaLoop(size_t iterations);
double DotBf16Loop(size_t iterations);
double DotInt8Loop(size_t iterations);
uint64_t ReadLoop(const std::byte* data, size_t bytes);
}  // namespace avx512bf16

namespace amx {
double TileBf16Loop(size_t iterations);
}  // namespace amx

}  // namespace damask::kernels
