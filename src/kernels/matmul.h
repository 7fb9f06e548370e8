// Products of activations with weights that stay as the file has them: y = x W^T.
//
// One interface; which body runs is chosen in one table (matmul_dispatch.cc) by target, weight type and number of rows.
// Two kinds, because they differ in what they are bound by:
//   prefill: many rows; weights are unpacked once per call, to bf16 or 8 bits, and used by all rows. Bound by arithmetic.
//   decode:  a few rows; the file's blocks are read as they are, once, for all rows. Bound by memory. A row's result does not
//            depend on how many rows share the call.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/cpu.h"
#include "base/function_ref.h"
#include "base/thread_pool.h"
#include "formats/tensor_type.h"
#include "kernels/activation_tiles.h"
#include "kernels/ops.h"
#include "kernels/peak.h"

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

// Row `row` of activations, k floats; they may have been put into `buffer` [k]. Called from any thread, once for a row.
using RowMaker = FunctionRef<const float*(size_t row, float* buffer)>;

struct Epilogue {
  const float* bias = nullptr;  // [n], added to every row
  bool accumulate = false;      // y += instead of y = (the residual stream)
};

class Matmul {
 public:
  // `pool` is not owned and outlives the object. One object serves one caller at a time.
  // `types`: those of the weights to come, so that Load makes no form that no product reads; empty: any. `decode_types`: of
  // weights that only meet activations loaded for Phase::kDecode.
  Matmul(Target target, ThreadPool* pool, std::span<const formats::TensorType> types = {},
         std::span<const formats::TensorType> decode_types = {});
  ~Matmul();

  // Reads x [m, k], row stride `x_stride` floats, into `out`. x may be freed afterwards.
  void Load(Phase phase, const float* x, size_t m, size_t k, size_t x_stride, Activations* out);
  // The same of rows that are made when they are wanted, and are never written as floats: 8 bytes a number of memory's way
  // less.
  void Load(Phase phase, RowMaker rows, size_t m, size_t k, Activations* out);

  // Room for activations [m, k] that somebody else fills with rows as tiles, all of them; without numbers where products of
  // that phase want another form. Rows behind the last one are zeros.
  ActivationTiles PrepareTiles(Phase phase, size_t m, size_t k, Activations* out);

  // y [m, n], row stride `y_stride` floats. x must have been loaded with k == w.k. y must not alias x or the weights.
  // Mean square of the error over that of y, for normal numbers, against exact arithmetic on the decoded weights:
  //   scalar                     float32 throughout                                                    1e-12
  //   prefill, avx2, avx512      13 bits per block of 128 on both sides                                 1e-7
  //     4, 5 bits but IQ4        weights exact, 8 bits per block of 32 for x                            4e-5
  //   prefill from avx512vnni on, below amx
  //     float weights            avx512vnni: as avx2; else bf16 on both sides                           1e-7, 6e-6
  //     quantised                8 bits per block of 64 on both sides                                   8e-5
  //   prefill, amx               bf16 on both sides                                                     6e-6
  //   decode, float weights      float32                                                                1e-12
  //   decode, quantised          weights exact, 8 bits per block of 32 for x, as llama.cpp does         4e-5
  // A row of y depends neither on which rows share the call nor on the number of threads.
  void Multiply(const Activations& x, const WeightView& w, const Epilogue& epilogue, float* y, size_t y_stride);

  // The same for several weights; each y is its own.
  struct Factor {
    const WeightView* w;
    Epilogue epilogue;
    float* y;
    size_t y_stride;
  };
  void MultiplyEach(const Activations& x, std::span<const Factor> factors);

  // out [m, n] = f(x gate^T) * (x up^T): the first half of SwiGLU or GeGLU (GateTimes in ops.h). gate and up have one
  // shape.
  void MultiplyGated(const Activations& x, GateFunction function, const WeightView& gate, const WeightView& up, float* out,
                     size_t out_stride);

  // The same, loaded as the next product's activations (of x's phase), without going through `out` where the target's products
  // can end in the form that the next one reads (AMX). The same bits. out is not x.
  void LoadGated(const Activations& x, GateFunction function, const WeightView& gate, const WeightView& up, Activations* out);

  // Keeps the forms that prefill products want of these weights, instead of making them in every call: their results do not
  // change by a bit. The weights stay where they are (decode reads them). Throws std::bad_alloc. What the target's products
  // take as it is, is left out.
  void Repack(std::span<const WeightView> weights);
  // What Repack would take for them, in bytes, and what it holds.
  size_t RepackedBytes(std::span<const WeightView> weights) const;
  size_t repacked_bytes() const;

  // "avx512bf16 panels", "avx2 16-bit panels", "avx512vnni 8-bit dot": for info and --json.
  std::string Describe(Phase phase, formats::TensorType type) const;

  // The unit that prefill products over this weight type run on: its peak is what their speed is a share of.
  ArithmeticUnit PrefillUnit(formats::TensorType type) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace damask::kernels
