// The angles of rotary position embedding, with the scalings that let a model read past its trained length.
//   plain   theta_i = base^(-2 i / dims)                                  Su et al., RoFormer (arXiv 2104.09864)
//   linear  theta_i / factor                                              Chen et al. (arXiv 2306.15595)
//   llama3  long waves divided by factor, short ones kept, smooth between Meta, Llama 3.1 model code
//   yarn    the same idea by number of turns, and cos/sin times 1 + 0.1 ln(factor)   Peng et al., YaRN (arXiv 2309.00071)
// A file's own factors (rope_freqs.weight) divide theta_i.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"

namespace damask::model {

class RopeTable {
 public:
  RopeTable() = default;
  // `factors` has dims / 2 entries or is empty.
  RopeTable(const RopeConfig& config, std::span<const float> factors);

  size_t dims() const { return 2 * frequencies_.size(); }
  // Fills cos_sin with dims() floats: (cos, sin) pairs of `position`.
  void Fill(uint64_t position, float* cos_sin) const;
  // What Fill multiplies each pair by, the length of a rotated vector.
  double magnitude() const { return magnitude_; }

 private:
  std::vector<double> frequencies_;  // radians per position
  double magnitude_ = 1.0;
};

}  // namespace damask::model
