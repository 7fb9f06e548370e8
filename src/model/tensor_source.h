// One way to ask for a weight, whatever the file calls it. The names used inside damask are GGUF's ("blk.3.attn_q.weight").
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace damask::model {

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // Null where the file has no such tensor; an error where it has one in a form that cannot be used.
  virtual Result<const formats::TensorInfo*> Find(const std::string& gguf_name) const = 0;
  // What the file itself calls it, for messages.
  virtual std::string FileName(const std::string& gguf_name) const = 0;
  virtual const std::vector<formats::TensorInfo>& tensors() const = 0;
};

std::unique_ptr<TensorSource> SourceOf(std::shared_ptr<const formats::GgufFile> file);
std::unique_ptr<TensorSource> SourceOf(std::shared_ptr<const formats::SafetensorsFiles> files);

// How a folder names its tensors.
struct HuggingFaceNaming {
  std::string body = "model.";  // before "layers.3..."; "language_model.model." or "model.language_model." of a larger whole
  std::string head;             // before "lm_head.weight": "language_model." with the first of those
  bool mixtral = false;         // "block_sparse_moe.experts.7.w1" where Qwen has "mlp.experts.7.gate_proj"
  bool post_norms = false;      // Gemma's four norms a layer; elsewhere post_attention_layernorm is the one before feed-forward
};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; empty for names that have no counterpart.
std::string HuggingFaceName(std::string_view gguf_name, const HuggingFaceNaming& naming = {});

}  // namespace damask::model
