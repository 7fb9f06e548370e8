// Times dense products: what `damask bench matmul` prints.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/thread_pool.h"
#include "formats/tensor_type.h"

namespace damask::kernels {

struct MatmulTiming {
  std::string backend;    // "avx512bf16 panels", "oneDNN bf16"
  std::string weights;    // the weight type: "BF16", "Q8_0"
  bool chosen = false;    // this is what damask runs for these weights
  bool repacked = false;  // with weights kept in the form that the body multiplies (--repack)
  double seconds = 0;     // median
  double tflops = 0;      // 2 m n k / seconds / 1e12
  // Of the fastest run: on a machine whose cores are shared with others, what the kernel does while it has one to itself.
  double fastest_seconds = 0;
  double fastest_tflops = 0;
};

// Products of random x [m, k] with random weights [n, k] of `type` by every body that `target` has, oneDNN included.
// Activations are loaded before; weights are unpacked within the time, as in a prefill chunk, and where a body can keep them
// unpacked, it runs once more with kept ones. Each body repeats until it has taken 0.3 s, at least three times. Needs m, n, k
// >= 1 and k a multiple of the type's block.
std::vector<MatmulTiming> BenchMatmul(Target target, formats::TensorType type, size_t m, size_t n, size_t k, ThreadPool* pool);

// Reading weights [n, k] of `type` by the decode body, one row of activations, weights larger than the caches.
struct DecodeTiming {
  std::string backend;
  std::string weights;
  double gb_per_second = 0;
};
DecodeTiming BenchDecode(Target target, formats::TensorType type, size_t n, size_t k, ThreadPool* pool);

}  // namespace damask::kernels
