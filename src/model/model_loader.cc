#include "model/model_loader.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "model/feed_forward_loader.h"
#include "model/tensor_reader.h"

namespace damask::model {

using formats::TensorInfo;
using kernels::WeightView;

// Of one model.
class ModelLoader::Loading {
 public:
  Loading(const TensorSource& source, std::string path, Model* model)
      : path_(std::move(path)), model_(model), reader_(source, model->config_) {}

  Status Run() {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(model_->embedding_, reader_.Matrix("token_embd.weight", c.vocab, c.width));
    DAMASK_ASSIGN_OR_RETURN(model_->output_norm_, reader_.Norm("output_norm.weight", c.width));
    for (size_t i = 0; i < c.width; ++i) model_->output_norm_[i] *= c.logit_scale;
    DAMASK_RETURN_IF_ERROR(LoadOutput());
    model_->layers_.resize(c.layers);
    for (size_t layer = 0; layer < c.layers; ++layer) DAMASK_RETURN_IF_ERROR(LoadLayer(layer));
    const std::string beyond = LayerName(c.layers + c.guessing_layers, "attn_output.weight");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* more, reader_.Find(beyond));
    if (more != nullptr) {
      return BadFormat(fmt::format("there is a tensor {}, but the configuration says {} layers (counted from 0)",
                                   reader_.FileName(beyond), c.layers + c.guessing_layers));
    }
    DAMASK_RETURN_IF_ERROR(LoadRope());
    Summarise();
    WarnOfUnused();
    return {};
  }

 private:
  // A model that says it is tied has the embedding as its output, whatever else the file holds.
  Status LoadOutput() {
    const ModelConfig& c = model_->config_;
    model_->output_ = model_->embedding_;
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* output, reader_.Find("output.weight"));
    if (c.tied.value_or(output == nullptr)) return {};
    DAMASK_ASSIGN_OR_RETURN(model_->output_, reader_.Matrix("output.weight", c.vocab, c.width));
    return {};
  }

  // In some files, all of Phi-3 among them, q, k and v are one matrix, one behind the other.
  Status LoadProjections(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    const std::string joined = LayerName(index, "attn_qkv.weight");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader_.Find(joined));
    if (tensor == nullptr) {
      DAMASK_ASSIGN_OR_RETURN(w->q, reader_.Matrix(LayerName(index, "attn_q.weight"), c.q_width(), c.width));
      DAMASK_ASSIGN_OR_RETURN(w->k, reader_.Matrix(LayerName(index, "attn_k.weight"), c.kv_width(), c.width));
      DAMASK_ASSIGN_OR_RETURN(w->v, reader_.Matrix(LayerName(index, "attn_v.weight"), c.kv_width(), c.width));
      return {};
    }
    DAMASK_ASSIGN_OR_RETURN(const WeightView qkv, reader_.Matrix(joined, c.q_width() + 2 * c.kv_width(), c.width));
    w->q = Rows(qkv, 0, c.q_width());
    w->k = Rows(qkv, c.q_width(), c.kv_width());
    w->v = Rows(qkv, c.q_width() + c.kv_width(), c.kv_width());
    return {};
  }

  // Biases are read wherever a file has them (llama files may, too); qwen2 always does.
  Status LoadProjectionBiases(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    const std::string joined = LayerName(index, "attn_qkv.bias");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader_.Find(joined));
    if (tensor == nullptr) {
      DAMASK_ASSIGN_OR_RETURN(w->q_bias, reader_.Bias(LayerName(index, "attn_q.bias"), c.q_width()));
      DAMASK_ASSIGN_OR_RETURN(w->k_bias, reader_.Bias(LayerName(index, "attn_k.bias"), c.kv_width()));
      DAMASK_ASSIGN_OR_RETURN(w->v_bias, reader_.Bias(LayerName(index, "attn_v.bias"), c.kv_width()));
      return {};
    }
    DAMASK_ASSIGN_OR_RETURN(const FloatVector qkv, reader_.Vector(joined, c.q_width() + 2 * c.kv_width()));
    const float* next = qkv.data();
    for (const auto& [bias, size] :
         {std::pair(&w->q_bias, c.q_width()), std::pair(&w->k_bias, c.kv_width()), std::pair(&w->v_bias, c.kv_width())}) {
      *bias = FloatVector(size);
      std::copy_n(next, size, bias->data());
      next += size;
    }
    return {};
  }

  Status LoadLayer(size_t index) {
    const ModelConfig& c = model_->config_;
    LayerWeights& w = model_->layers_[index];
    const auto name = [index](const char* part) { return LayerName(index, part); };
    DAMASK_RETURN_IF_ERROR(LoadLayerNorms(index, &w));
    DAMASK_RETURN_IF_ERROR(LoadProjections(index, &w));
    DAMASK_RETURN_IF_ERROR(LoadProjectionBiases(index, &w));
    DAMASK_ASSIGN_OR_RETURN(w.o, reader_.Matrix(name("attn_output.weight"), c.width, c.q_width()));
    DAMASK_ASSIGN_OR_RETURN(w.o_bias, reader_.Bias(name("attn_output.bias"), c.width));
    if (c.has_sinks()) {
      DAMASK_ASSIGN_OR_RETURN(w.sinks, reader_.Vector(name("attn_sinks.weight"), c.heads));
      // An infinite one would take all of its head's attention, silently.
      DAMASK_RETURN_IF_ERROR(reader_.CheckFinite(name("attn_sinks.weight"), w.sinks));
    }
    DAMASK_RETURN_IF_ERROR(LoadQkNorms(index, &w));
    DAMASK_RETURN_IF_ERROR(LoadFeedForward(&reader_, index, &w));
    return RefuseFeedForwardBiases(index);
  }

  Status LoadLayerNorms(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    if (c.has_norms_before()) {
      DAMASK_ASSIGN_OR_RETURN(w->attention_norm, reader_.Norm(LayerName(index, "attn_norm.weight"), c.width));
      DAMASK_ASSIGN_OR_RETURN(w->ffn_norm, reader_.Norm(LayerName(index, c.traits().ffn_norm), c.width));
    }
    if (c.has_norms_behind()) {
      DAMASK_ASSIGN_OR_RETURN(w->attention_post_norm, reader_.Norm(LayerName(index, "post_attention_norm.weight"), c.width));
      DAMASK_ASSIGN_OR_RETURN(w->ffn_post_norm, reader_.Norm(LayerName(index, "post_ffw_norm.weight"), c.width));
    }
    return {};
  }

  Status LoadQkNorms(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    const QkNorm kind = c.traits().qk_norm;
    if (kind == QkNorm::kNone) return {};
    const std::string q = LayerName(index, "attn_q_norm.weight");
    if (kind == QkNorm::kHeadsIfThere) {
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader_.Find(q));
      if (tensor == nullptr) return {};
    }
    const bool whole = kind == QkNorm::kWhole;
    DAMASK_ASSIGN_OR_RETURN(w->q_norm, reader_.Norm(q, whole ? c.q_width() : c.head_dim));
    DAMASK_ASSIGN_OR_RETURN(w->k_norm, reader_.Norm(LayerName(index, "attn_k_norm.weight"), whole ? c.kv_width() : c.head_dim));
    return {};
  }

  // Models with gate and up in one matrix have none; nobody knows of one that has.
  Status RefuseFeedForwardBiases(size_t index) {
    if (!model_->config_.traits().joins_gate) return {};
    for (const char* part : {"ffn_gate_up.bias", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"}) {
      const std::string name = LayerName(index, part);
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* bias, reader_.Find(name));
      if (bias != nullptr) return Unsupported(fmt::format("the tensor {} is not supported", reader_.FileName(name)));
    }
    return {};
  }

  // Divisors of the frequencies that come as a tensor; empty where there is none.
  Result<std::vector<float>> RopeFactors(const std::string& name) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader_.Find(name));
    if (tensor == nullptr) return std::vector<float>();
    DAMASK_ASSIGN_OR_RETURN(const FloatVector factors, reader_.Vector(name, model_->config_.rope.dims / 2));
    for (size_t i = 0; i < factors.size(); ++i) {
      if (!(factors[i] > 0)) return BadFormat(fmt::format("factor {} is {}, expected above 0", i, factors[i])).At(name);
    }
    return std::vector<float>(factors.data(), factors.data() + factors.size());
  }

  // Of a GGUF file both the llama3 factors and those of longrope are tensors.
  Status LoadRope() {
    RopeConfig& rope = model_->config_.rope;
    DAMASK_ASSIGN_OR_RETURN(std::vector<float> factors, RopeFactors("rope_freqs.weight"));
    DAMASK_ASSIGN_OR_RETURN(std::vector<float> longer, RopeFactors("rope_factors_long.weight"));
    DAMASK_ASSIGN_OR_RETURN(std::vector<float> shorter, RopeFactors("rope_factors_short.weight"));
    if (longer.empty() != shorter.empty()) {
      return BadFormat("only one of the tensors rope_factors_long.weight and rope_factors_short.weight is there");
    }
    if (!longer.empty()) {
      rope.long_factors = std::move(longer);
      rope.short_factors = std::move(shorter);
    }
    rope.file_factors = std::move(factors);
    model_->rope_ = RopeTable(rope, rope.file_factors.empty() ? rope.factors() : rope.file_factors);
    if (model_->config_.window_rope_base != 0.0) {
      const RopeConfig unscaled = {.kind = rope.kind, .dims = rope.dims, .base = model_->config_.window_rope_base};
      model_->window_rope_ = RopeTable(unscaled, {});
    }
    return {};
  }

  void Summarise() {
    for (const TensorInfo& tensor : reader_.source().tensors()) {
      model_->parameters_ += tensor.rows() * tensor.columns();
      model_->tensors_.push_back(model::Summarise(tensor));
    }
  }

  // A model that also reads images is run as the text model in it.
  static bool IsOfImages(std::string_view name) {
    return name.find("vision_tower.") != std::string_view::npos ||
           name.find("multi_modal_projector.") != std::string_view::npos;
  }

  bool GuessesAhead(std::string_view name) const {
    const ModelConfig& c = model_->config_;
    for (size_t layer = c.layers; layer < c.layers + c.guessing_layers; ++layer) {
      if (name.starts_with(LayerName(layer, ""))) return true;
    }
    return false;
  }

  // Weights that nothing has asked for: the model may be another than damask takes it for. Old folders hold the frequencies of
  // the rotation, which follow from the configuration.
  void WarnOfUnused() const {
    size_t count = 0;
    std::string first;
    for (const TensorInfo& tensor : reader_.source().tensors()) {
      if (reader_.WasAskedFor(tensor) || tensor.name.ends_with("rotary_emb.inv_freq")) continue;
      if (IsOfImages(tensor.name) || GuessesAhead(tensor.name)) continue;
      if (++count == 1) first = tensor.name;
    }
    if (count == 0) return;
    const std::string more = count == 1 ? "is a tensor" : fmt::format("and {} more are tensors", count - 1);
    LogWarning(fmt::format("{}: {} {} that damask does not use: answers may be worse than the model's", Quote(path_, 300),
                           Quote(first), more));
  }

  std::string path_;
  Model* model_;
  TensorReader reader_;
};

Status ModelLoader::Load(const TensorSource& source, const std::string& path, Model* model) {
  return Loading(source, path, model).Run();
}

}  // namespace damask::model
