// What a forward pass keeps between its steps; shared by forward.cc and forward_feed_forward.cc.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "base/timer.h"
#include "kernels/matmul.h"
#include "model/forward.h"

namespace damask::model {

// Adds the time of a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double* sum) : sum_(sum) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { *sum_ += timer_.Seconds(); }

 private:
  double* sum_;
  Timer timer_;
};

// Everything a batch needs between its steps, kept for the next one.
struct Forward::Buffers {
  AlignedArray<float> x;       // residual stream [rows, width]
  AlignedArray<float> normed;  // [rows, width]
  AlignedArray<float> q;       // [rows, heads, head_dim]
  AlignedArray<float> k;       // [rows, kv_heads, head_dim]
  AlignedArray<float> v;
  AlignedArray<float> attended;  // [rows, heads, head_dim]
  AlignedArray<float> hidden;    // [rows, ffn] where gates have biases, and up
  AlignedArray<float> up;
  AlignedArray<float> cos_sin;         // [rows, rotated dims]
  AlignedArray<float> window_cos_sin;  // the same of layers with a window, where those rotate differently
  AlignedArray<float> logits;          // [kLogitRows, vocab]
  // Where layers have experts:
  AlignedArray<float> routing;                 // [rows, experts]: scores, then shares
  AlignedArray<float> gathered;                // [rows of one expert, width]: what it reads, then what it answers
  std::vector<std::vector<RoutedRow>> routed;  // [experts]
  std::vector<ChosenExpert> chosen;            // [rows, experts used]
  kernels::Activations activations;            // that were loaded last
  kernels::Activations gated;                  // what a feed-forward network's last product reads
};

}  // namespace damask::model
