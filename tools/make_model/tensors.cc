#include "tools/make_model/tensors.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace damask::make_model {
namespace {

using formats::TensorType;

constexpr double kNormDeviation = 0.1;  // norms of trained models lie around one value
constexpr double kBiasDeviation = 0.5;
constexpr double kSinkMean = 2.0;  // a sink as strong as seven keys

// Layers that llama.cpp's _M mixes keep in the better type: the first and last eighth, and every third between.
bool KeepsMoreBits(size_t layer, size_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// What llama.cpp's quantiser takes where a row is no multiple of a type's block.
TensorType FitType(TensorType type, uint64_t columns) {
  if (columns % formats::GetTensorType(type).block_values == 0) return type;
  switch (type) {
    case TensorType::kQ2_K:
    case TensorType::kQ3_K:
    case TensorType::kIQ4_XS: return FitType(TensorType::kIQ4_NL, columns);
    case TensorType::kQ4_K: return FitType(TensorType::kQ5_0, columns);
    case TensorType::kQ5_K: return FitType(TensorType::kQ5_1, columns);
    case TensorType::kQ6_K: return FitType(TensorType::kQ8_0, columns);
    default: return TensorType::kF16;
  }
}

class Lister {
 public:
  explicit Lister(const ModelSpec& spec) : spec_(spec), type_(ParseWeightType(spec.type).value()) {}

  std::vector<Tensor> Run() {
    AddOuter();
    for (size_t layer = 0; layer < spec_.layers; ++layer) {
      AddAttention(layer);
      AddFeedForward(layer);
      if (layer + spec_.guessing_layers >= spec_.layers) AddGuessing(layer);
    }
    return std::move(tensors_);
  }

 private:
  static double ByFanIn(double scale, size_t fan_in) { return scale / std::sqrt(static_cast<double>(fan_in)); }

  Tensor& AddMatrix(std::string name, std::string hf_name, TensorType type, size_t rows, size_t columns, double deviation) {
    tensors_.push_back({std::move(name), std::move(hf_name), FitType(type, columns), {rows, columns}, 0.0, deviation});
    return tensors_.back();
  }

  void AddVector(std::string name, std::string hf_name, size_t size, double mean, double deviation) {
    tensors_.push_back({std::move(name), std::move(hf_name), TensorType::kF32, {size}, mean, deviation});
  }

  void AddNorm(std::string name, std::string hf_name, size_t size, double mean = 1.0) {
    AddVector(std::move(name), std::move(hf_name), size, mean, kNormDeviation);
    tensors_.back().is_norm = true;
  }

  void AddOuter() {
    const double output_deviation = ByFanIn(spec_.logit_scale, spec_.width);
    const double untied_deviation = spec_.arch == Arch::kGemma3    ? ByFanIn(1.0, spec_.width)
                                    : spec_.arch == Arch::kGranite ? 1.0 / ModelSpec::kGraniteEmbedding
                                                                   : 1.0;  // 1 behind what the model multiplies by
    AddMatrix("token_embd.weight", "model.embed_tokens.weight", spec_.tied ? type_.better : type_.base, spec_.vocab,
              spec_.width, spec_.tied ? output_deviation : untied_deviation);
    AddNorm("output_norm.weight", "model.norm.weight", spec_.width);
    if (!spec_.tied) {
      AddMatrix("output.weight", "lm_head.weight", type_.better, spec_.vocab, spec_.width, output_deviation);
    }
    if (spec_.rope_scaling == RopeScaling::kLlama3) {
      AddVector("rope_freqs.weight", "", spec_.head_dim / 2, 1.0, 0.0);
      tensors_.back().is_rope_factors = true;
    }
    if (spec_.rope_scaling != RopeScaling::kLongRope) return;
    for (const bool longer : {true, false}) {
      AddVector(longer ? "rope_factors_long.weight" : "rope_factors_short.weight", "", spec_.rotated_dims() / 2, 1.0, 0.0);
      tensors_.back().is_rope_factors = true;
      tensors_.back().of_longer_texts = longer;
    }
  }

  void AddAttention(size_t layer) {
    const std::string p = fmt::format("blk.{}.", layer);
    const std::string h = fmt::format("model.layers.{}.", layer);
    const std::string a = h + "self_attn.";
    const size_t q_width = spec_.heads * spec_.head_dim;
    const size_t kv_width = spec_.kv_heads * spec_.head_dim;
    const double qk = ByFanIn(spec_.attention_scale, spec_.width);
    const TensorType v_type = KeepsMoreBits(layer, spec_.layers) ? type_.better : type_.base;
    if (spec_.has_norms_before()) AddNorm(p + "attn_norm.weight", h + "input_layernorm.weight", spec_.width);
    if (spec_.joins_matrices()) {
      AddMatrix(p + "attn_qkv.weight", a + "qkv_proj.weight", type_.base, q_width + 2 * kv_width, spec_.width, qk);
    } else {
      AddMatrix(p + "attn_q.weight", a + "q_proj.weight", type_.base, q_width, spec_.width, qk).rotated_heads = spec_.heads;
      AddMatrix(p + "attn_k.weight", a + "k_proj.weight", type_.base, kv_width, spec_.width, qk).rotated_heads = spec_.kv_heads;
      AddMatrix(p + "attn_v.weight", a + "v_proj.weight", v_type, kv_width, spec_.width, ByFanIn(1.0, spec_.width));
    }
    AddMatrix(p + "attn_output.weight", a + "o_proj.weight", type_.base, spec_.width, q_width, ByFanIn(1.0, q_width));
    if (spec_.has_qkv_bias()) {
      AddVector(p + "attn_q.bias", a + "q_proj.bias", q_width, 0.0, kBiasDeviation);
      AddVector(p + "attn_k.bias", a + "k_proj.bias", kv_width, 0.0, kBiasDeviation);
      AddVector(p + "attn_v.bias", a + "v_proj.bias", kv_width, 0.0, kBiasDeviation);
    }
    if (spec_.arch == Arch::kGptOss || spec_.biases) {
      AddVector(p + "attn_output.bias", a + "o_proj.bias", spec_.width, 0.0, kBiasDeviation);
    }
    if (spec_.arch == Arch::kGptOss) {
      AddVector(p + "attn_sinks.weight", "", spec_.heads, kSinkMean, 1.0);
    }
    if (spec_.has_qk_norm()) {  // the norm takes the matrices' scale away and gives it back here
      AddNorm(p + "attn_q_norm.weight", a + "q_norm.weight", spec_.norms_whole() ? q_width : spec_.head_dim,
              spec_.attention_scale);
      AddNorm(p + "attn_k_norm.weight", a + "k_norm.weight", spec_.norms_whole() ? kv_width : spec_.head_dim,
              spec_.attention_scale);
    }
    if (spec_.has_post_norms()) AddNorm(p + "post_attention_norm.weight", h + "post_attention_layernorm.weight", spec_.width);
  }

  void AddFeedForward(size_t layer) {
    const std::string p = fmt::format("blk.{}.", layer);
    const std::string h = fmt::format("model.layers.{}.", layer);
    const TensorType down_type = KeepsMoreBits(layer, spec_.layers) ? type_.better : type_.base;
    const char* const norm = spec_.has_post_norms() ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
    if (spec_.has_norms_before()) {
      AddNorm(p + (spec_.renames_ffn_norm() ? "post_attention_norm.weight" : "ffn_norm.weight"), h + norm, spec_.width);
    }
    if (spec_.has_post_norms()) AddNorm(p + "post_ffw_norm.weight", h + "post_feedforward_layernorm.weight", spec_.width);
    if (spec_.layer_has_experts(layer)) {
      AddExperts(layer, down_type);
      if (spec_.has_shared_expert()) AddNetwork(p, h, "_shexp", spec_.ffn, down_type);
      return;
    }
    const size_t ffn = spec_.num_experts() == 0 ? spec_.ffn : spec_.dense_ffn();
    AddNetwork(p, h, "", ffn, down_type);
    if (!spec_.biases) return;
    AddVector(p + "ffn_gate.bias", h + "mlp.gate_proj.bias", ffn, 0.0, kBiasDeviation);
    AddVector(p + "ffn_up.bias", h + "mlp.up_proj.bias", ffn, 0.0, kBiasDeviation);
    AddVector(p + "ffn_down.bias", h + "mlp.down_proj.bias", spec_.width, 0.0, kBiasDeviation);
  }

  // What joins the last token's state to the next one's embedding.
  void AddGuessing(size_t layer) {
    const std::string p = fmt::format("blk.{}.nextn.", layer);
    AddMatrix(p + "eh_proj.weight", "", type_.base, spec_.width, 2 * spec_.width, ByFanIn(1.0, 2 * spec_.width));
    AddNorm(p + "enorm.weight", "", spec_.width);
    AddNorm(p + "hnorm.weight", "", spec_.width);
  }

  // `kind` stands behind the names of its matrices; where it is not empty there are no Hugging Face names.
  void AddNetwork(const std::string& p, const std::string& h, const std::string& kind, size_t ffn, TensorType down_type) {
    const double by_width = ByFanIn(1.0, spec_.width);
    if (spec_.joins_gate()) {
      AddMatrix(p + "ffn_up.weight", h + "mlp.gate_up_proj.weight", type_.base, 2 * ffn, spec_.width, by_width);
    } else {
      AddMatrix(p + "ffn_gate" + kind + ".weight", h + "mlp.gate_proj.weight", type_.base, ffn, spec_.width, by_width);
      AddMatrix(p + "ffn_up" + kind + ".weight", h + "mlp.up_proj.weight", type_.base, ffn, spec_.width, by_width);
    }
    AddMatrix(p + "ffn_down" + kind + ".weight", h + "mlp.down_proj.weight", down_type, spec_.width, ffn, ByFanIn(1.0, ffn));
  }

  // "{}" in a Hugging Face name stands for the expert.
  void AddExperts(size_t layer, TensorType down_type) {
    const std::string p = fmt::format("blk.{}.", layer);
    const bool mixtral = spec_.arch == Arch::kLlama;
    const std::string h = fmt::format("model.layers.{}.{}.", layer, mixtral ? "block_sparse_moe" : "mlp");
    const auto add = [&](const char* part, const char* hf_part, TensorType type, size_t rows, size_t columns) {
      Tensor& tensor = AddMatrix(p + part + "_exps.weight", fmt::format("{}experts.{{}}.{}.weight", h, hf_part), type, rows,
                                 columns, ByFanIn(1.0, columns));
      tensor.shape.insert(tensor.shape.begin(), spec_.num_experts());
    };
    // Scores with a deviation of 2, so that few choices are close.
    AddMatrix(p + "ffn_gate_inp.weight", h + "gate.weight", TensorType::kF32, spec_.num_experts(), spec_.width,
              ByFanIn(2.0, spec_.width));
    add("ffn_gate", mixtral ? "w1" : "gate_proj", type_.experts.value_or(type_.base), spec_.ffn, spec_.width);
    add("ffn_up", mixtral ? "w3" : "up_proj", type_.experts.value_or(type_.base), spec_.ffn, spec_.width);
    add("ffn_down", mixtral ? "w2" : "down_proj", type_.experts.value_or(down_type), spec_.width, spec_.ffn);
    // Shares lie between 0 and 1: a bias that often changes the choice.
    if (spec_.has_shared_expert()) {
      AddVector(p + "exp_probs_b.bias", "", spec_.num_experts(), 0.0, 0.2);
      // ERNIE's converter leaves it a matrix of one row.
      if (spec_.arch == Arch::kErnie45Moe) tensors_.back().shape.insert(tensors_.back().shape.begin(), 1);
    }
    if (spec_.arch != Arch::kGptOss) return;
    AddVector(p + "ffn_gate_inp.bias", "", spec_.num_experts(), 0.0, kBiasDeviation);
    AddMatrix(p + "ffn_gate_exps.bias", "", TensorType::kF32, spec_.num_experts(), spec_.ffn, kBiasDeviation);
    AddMatrix(p + "ffn_up_exps.bias", "", TensorType::kF32, spec_.num_experts(), spec_.ffn, kBiasDeviation);
    AddMatrix(p + "ffn_down_exps.bias", "", TensorType::kF32, spec_.num_experts(), spec_.width, kBiasDeviation);
  }

  const ModelSpec& spec_;
  WeightType type_;
  std::vector<Tensor> tensors_;
};

}  // namespace

std::vector<Tensor> ListTensors(const ModelSpec& spec) { return Lister(spec).Run(); }

std::vector<Tensor> ListHuggingFaceTensors(const ModelSpec& spec) {
  std::vector<Tensor> split;
  for (const Tensor& tensor : ListTensors(spec)) {
    if (tensor.shape.size() != 3) {
      split.push_back(tensor);
      continue;
    }
    for (uint64_t expert = 0; expert < tensor.shape[0]; ++expert) {
      Tensor one = tensor;
      one.hf_name = fmt::format(fmt::runtime(tensor.hf_name), expert);
      one.first_row = expert * tensor.shape[1];
      one.shape.erase(one.shape.begin());
      split.push_back(std::move(one));
    }
  }
  return split;
}

}  // namespace damask::make_model
