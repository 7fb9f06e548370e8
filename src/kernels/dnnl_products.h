// Products by oneDNN, for benchmarks to compare with: damask itself multiplies by bodies of its own on every target.
#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "kernels/matmul_bodies.h"

namespace damask::kernels {

enum class DnnlType { kFloat32, kBf16 };

// Weights are decoded in chunks by our pool; the product runs on oneDNN's own OpenMP threads, as many as the pool has.
class DnnlProducts {
 public:
  explicit DnnlProducts(ThreadPool* pool);
  ~DnnlProducts();

  // The form of activations that Multiply reads, and a name for tables.
  static unsigned FormOf(DnnlType type) { return type == DnnlType::kBf16 ? kFormBf16 : kFormFloat; }
  static const char* NameOf(DnnlType type) { return type == DnnlType::kBf16 ? "oneDNN bf16" : "oneDNN float32"; }

  void Multiply(DnnlType type, const Product& product);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace damask::kernels
