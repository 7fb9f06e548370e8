// The tensors of a model, in file order, with their names in both worlds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/tensor_type.h"
#include "tools/make_model/spec.h"

namespace damask::make_model {

struct Tensor {
  std::string name;     // GGUF: "blk.0.attn_q.weight"
  std::string hf_name;  // "model.layers.0.self_attn.q_proj.weight"; empty where Hugging Face has no such tensor
  formats::TensorType type = formats::TensorType::kF32;
  std::vector<uint64_t> shape;  // slowest first
  // Values: mean + deviation * noise of unit variance.
  double mean = 0.0;
  double deviation = 0.0;
  bool is_norm = false;
  bool is_rope_factors = false;  // computed, not drawn
  bool of_longer_texts = false;  // longrope: its factors for those
  size_t rotated_heads = 0;      // q and k: rows fall into so many heads of rotated pairs

  uint64_t rows() const { return shape.size() == 1 ? 1 : shape[0]; }
  uint64_t columns() const { return shape.back(); }
};

// The spec must have passed CheckSpec.
std::vector<Tensor> ListTensors(const ModelSpec& spec);

}  // namespace damask::make_model
