// A frozen model: configuration, tokenizer and weights as the file has them. Immutable after loading, shared by sessions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/file.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "kernels/matmul.h"
#include "model/config.h"
#include "model/rope.h"
#include "tokenizer/tokenizer.h"

namespace damask::model {

using FloatVector = AlignedArray<float>;

// A gated feed-forward network.
struct FeedForwardWeights {
  kernels::WeightView gate, up, down;         // [ffn, width] twice, [width, ffn]
  FloatVector gate_bias, up_bias, down_bias;  // [ffn] twice, [width]; empty where a file has none
};

struct LayerWeights {
  FloatVector attention_norm, ffn_norm;        // [width]; empty where norms stand behind only
  kernels::WeightView q, k, v, o;              // [heads * head_dim, width], [kv_width, width] twice, [width, heads * head_dim]
  FloatVector q_bias, k_bias, v_bias, o_bias;  // empty where a file has none
  FloatVector sinks;                           // [heads], gpt-oss: kernels::QueryBlock::sinks; empty elsewhere
  FloatVector q_norm, k_norm;                  // [head_dim], or of all heads (QkNorm::kWhole); empty where there is none
  FloatVector attention_post_norm, ffn_post_norm;  // [width] where norms stand behind; empty elsewhere
  kernels::WeightView router;                      // [experts, width]; without data where the layer has no experts
  FloatVector router_bias;                         // [experts], or empty
  FloatVector choice_bias;                         // [experts], added to shares while experts are chosen; or empty
  std::vector<FeedForwardWeights> feed_forward;    // one, or the experts
  FeedForwardWeights shared;                       // beside the experts, of width config().shared_ffn; without data elsewhere
};

struct LoadOptions {
  LoadMode load = LoadMode::kMap;
  RopeOverrides rope;
  uint64_t context = 0;  // -c: 0 keeps the model's
};

// What `info` lists of a tensor, whatever file it came from.
struct TensorSummary {
  std::string name;
  std::string type;
  std::vector<uint64_t> shape;
  uint64_t bytes = 0;
};

TensorSummary Summarise(const formats::TensorInfo& tensor);

// The element type that holds most of the bytes: "Q8_0"; "none" where there are no tensors.
std::string DominantType(const std::vector<TensorSummary>& tensors);

class Model {
 public:
  // A GGUF file (first shard of a split one) or a Hugging Face folder. Errors name the file.
  static Result<std::unique_ptr<Model>> Load(const std::string& path, const LoadOptions& options);
  static Result<std::unique_ptr<Model>> LoadEmbedded(const LoadOptions& options);
  static Result<std::unique_ptr<Model>> FromGguf(std::shared_ptr<const formats::GgufFile> file, const LoadOptions& options);

  const ModelConfig& config() const { return config_; }
  const tokenizer::Tokenizer& tokenizer() const { return *tokenizer_; }
  const RopeTable& rope(size_t layer) const { return config_.has_window_rope(layer) ? window_rope_ : rope_; }
  const RopeTable& rope() const { return rope_; }
  const RopeTable& window_rope() const { return window_rope_; }  // of layers with a window; empty where all rotate alike
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const kernels::WeightView& embedding() const { return embedding_; }  // [vocab, width]
  const kernels::WeightView& output() const { return output_; }        // the embedding itself where the model is tied
  const FloatVector& output_norm() const { return output_norm_; }

  bool tied() const { return output_.data == embedding_.data; }
  const std::string& path() const { return path_; }
  const std::string& format() const { return format_; }  // "GGUF v3", "Hugging Face folder"
  uint64_t file_bytes() const { return file_bytes_; }
  uint64_t parameters() const { return parameters_; }
  const std::vector<TensorSummary>& tensors() const { return tensors_; }
  // The layers' matrices, layer by layer.
  std::vector<kernels::WeightView> layer_matrices() const;
  // Of the matrices that products run over, each once; and of the layers' routers, which are not among those.
  std::vector<formats::TensorType> weight_types() const;
  std::vector<formats::TensorType> router_types() const;

 private:
  friend class ModelLoader;
  Model() = default;

  std::string path_;
  std::string format_;
  uint64_t file_bytes_ = 0;
  uint64_t parameters_ = 0;
  ModelConfig config_;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_;
  RopeTable rope_, window_rope_;
  std::vector<LayerWeights> layers_;
  kernels::WeightView embedding_, output_;
  FloatVector output_norm_;
  std::vector<TensorSummary> tensors_;
  std::shared_ptr<const void> owner_;  // keeps the file's bytes alive
};

}  // namespace damask::model
