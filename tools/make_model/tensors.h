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
  uint64_t first_row = 0;        // of an expert alone: where its rows begin in the tensor of all, whose name this is
  size_t rotated_heads = 0;      // q and k: rows fall into so many heads of rotated pairs

  uint64_t rows() const {
    uint64_t rows = 1;
    for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
  uint64_t columns() const { return shape.back(); }
};

// The spec must have passed CheckSpec.
std::vector<Tensor> ListTensors(const ModelSpec& spec);

// The same with a tensor for every expert, as Hugging Face folders have them.
std::vector<Tensor> ListHuggingFaceTensors(const ModelSpec& spec);

}  // namespace damask::make_model
