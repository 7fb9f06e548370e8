// Products of activations with weights that stay as the file has them: y = x W^T.
//
// One interface; which body runs is chosen in one table (matmul_dispatch.cc) by target, weight type and number of rows.
// Two kinds, because they differ in what they are bound by:
//   prefill: many rows; weights are unpacked to bf16 tiles once per call and used by all rows. Bound by arithmetic.
//   decode:  a few rows; the file's blocks are read as they are, once, for all rows. Bound by memory. A row's result does not
//            depend on how many rows share the call.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/cpu.h"
#include "base/thread_pool.h"
#include "formats/tensor_type.h"

namespace damask::kernels {

// A weight matrix [n, k], row-major; rows of RowBytes(type, k) bytes directly after each other. Not owned.
struct WeightView {
  formats::TensorType type = formats::TensorType::kF32;
  const std::byte* data = nullptr;
  size_t n = 0;
  size_t k = 0;
};

enum class Phase { kPrefill, kDecode };

// Activations x [m, k] in the forms that products over them want (bf16 tiles, 8-bit blocks, floats). Made once, used by several
// products (q, k and v; gate and up). Buffers are kept between calls.
class Activations {
 public:
  Activations();
  Activations(Activations&&) noexcept;
  Activations& operator=(Activations&&) noexcept;
  ~Activations();

  size_t bytes() const;

  struct Forms;  // private to the bodies
  Forms& forms() { return *forms_; }
  const Forms& forms() const { return *forms_; }

 private:
  std::unique_ptr<Forms> forms_;
};

struct Epilogue {
  const float* bias = nullptr;  // [n], added to every row
  bool accumulate = false;      // y += instead of y = (the residual stream)
};

class Matmul {
 public:
  // `pool` is not owned and outlives the object. One object serves one caller at a time.
  Matmul(Target target, ThreadPool* pool);
  ~Matmul();

  // Reads x [m, k], row stride `x_stride` floats, into `out`. x may be freed afterwards.
  void Load(Phase phase, const float* x, size_t m, size_t k, size_t x_stride, Activations* out);

  // y [m, n], row stride `y_stride` floats. x must have been loaded with k == w.k. y must not alias x or the weights.
  // Accuracy against exact arithmetic on the decoded weights: prefill rounds both sides to bf16 (relative error of a product
  // about 2^-8 / sqrt(k) of the row norms) unless the target is scalar or lacks bf16; decode rounds activations to 8 bits per
  // block of 32 for quantised weights (as llama.cpp does), not at all for float weights. Scalar: float32 throughout.
  void Multiply(const Activations& x, const WeightView& w, const Epilogue& epilogue, float* y, size_t y_stride);

  // out [m, n] = silu(x gate^T) * (x up^T): SwiGLU's first half. gate and up have one shape.
  void MultiplySwiGlu(const Activations& x, const WeightView& gate, const WeightView& up, float* out, size_t out_stride);

  // "avx512bf16 packed panels", "oneDNN 2.6.3", "avx512vnni q8 dot": for info and --json.
  std::string Describe(Phase phase, formats::TensorType type) const;

  // Scratch held now, all threads.
  size_t bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace damask::kernels
