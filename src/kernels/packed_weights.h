// Weights kept in the form that prefill products want (--repack): bf16 tiles or 8-bit panels, made once instead of in every
// call. Private to the kernels folder and its tests.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/matmul_bodies.h"

namespace damask::kernels {

// Bytes that the panels of `w` take; 0 where the body keeps none.
size_t PackedBytes(const Body& body, const WeightView& w);

class PackedWeights {
 public:
  // Makes the panels of `w` for `body`, whatever the body keeps of it. Throws std::bad_alloc. `scratch`: one for each thread.
  void Add(const Body& body, const WeightView& w, ThreadPool* pool, Scratch* scratch);

  // The panels made of the weights at `data`; null: none were.
  const std::byte* Find(const std::byte* data) const;
  size_t bytes() const { return bytes_; }

 private:
  std::unordered_map<const std::byte*, AlignedArray<std::byte>> panels_;  // by where the weights themselves lie
  size_t bytes_ = 0;
};

}  // namespace damask::kernels
