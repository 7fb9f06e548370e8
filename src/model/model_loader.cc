#include "model/model_loader.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "base/text.h"
#include "kernels/quant.h"

namespace damask::model {

using formats::TensorInfo;
using kernels::WeightView;

// Of one model.
class ModelLoader::Loading {
 public:
  Loading(const TensorSource& source, std::string path, Model* model)
      : source_(source), path_(std::move(path)), model_(model) {}

  Status Run() {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(model_->embedding_, Matrix("token_embd.weight", c.vocab, c.width));
    DAMASK_ASSIGN_OR_RETURN(model_->output_norm_, Norm("output_norm.weight", c.width));
    for (size_t i = 0; i < c.width; ++i) model_->output_norm_[i] *= c.logit_scale;
    DAMASK_RETURN_IF_ERROR(LoadOutput());
    model_->layers_.resize(c.layers);
    for (size_t layer = 0; layer < c.layers; ++layer) DAMASK_RETURN_IF_ERROR(LoadLayer(layer));
    const std::string beyond = LayerName(c.layers + c.guessing_layers, "attn_output.weight");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* more, Find(beyond));
    if (more != nullptr) {
      return BadFormat(fmt::format("there is a tensor {}, but the configuration says {} layers (counted from 0)",
                                   source_.FileName(beyond), c.layers + c.guessing_layers));
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
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* output, Find("output.weight"));
    if (c.tied.value_or(output == nullptr)) return {};
    DAMASK_ASSIGN_OR_RETURN(model_->output_, Matrix("output.weight", c.vocab, c.width));
    return {};
  }

  static std::string LayerName(size_t index, std::string_view part) { return fmt::format("blk.{}.{}", index, part); }

  Status LoadProjections(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    if (c.traits().joins_qkv) return LoadJoinedProjections(index, w);
    DAMASK_ASSIGN_OR_RETURN(w->q, Matrix(LayerName(index, "attn_q.weight"), c.q_width(), c.width));
    DAMASK_ASSIGN_OR_RETURN(w->k, Matrix(LayerName(index, "attn_k.weight"), c.kv_width(), c.width));
    DAMASK_ASSIGN_OR_RETURN(w->v, Matrix(LayerName(index, "attn_v.weight"), c.kv_width(), c.width));
    return {};
  }

  // Phi-3 keeps q, k and v in one matrix, one behind the other.
  Status LoadJoinedProjections(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(const WeightView qkv,
                            Matrix(LayerName(index, "attn_qkv.weight"), c.q_width() + 2 * c.kv_width(), c.width));
    w->q = Rows(qkv, 0, c.q_width());
    w->k = Rows(qkv, c.q_width(), c.kv_width());
    w->v = Rows(qkv, c.q_width() + c.kv_width(), c.kv_width());
    return {};
  }

  Status LoadFeedForward(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    if (c.has_experts(index)) {
      w->feed_forward.resize(c.experts);
      DAMASK_RETURN_IF_ERROR(LoadExperts(index, w));
      return c.shared_ffn == 0 ? Status() : LoadNetwork(index, "_shexp", c.shared_ffn, &w->shared);
    }
    w->feed_forward.resize(1);
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* down, Find(LayerName(index, "ffn_down.weight")));
    if (down == nullptr && c.experts == 0) DAMASK_RETURN_IF_ERROR(RefuseUnnamedExperts(index));
    return LoadNetwork(index, "", c.experts == 0 ? c.ffn : c.dense_ffn, &w->feed_forward[0]);
  }

  // `kind` stands behind the names of its matrices.
  Status LoadNetwork(size_t index, const char* kind, size_t ffn, FeedForwardWeights* f) {
    const ModelConfig& c = model_->config_;
    const auto name = [&](const char* part, const char* what) {
      return fmt::format("blk.{}.{}{}.{}", index, part, kind, what);
    };
    DAMASK_ASSIGN_OR_RETURN(f->down, Matrix(name("ffn_down", "weight"), c.width, ffn));
    if (c.traits().joins_gate) return LoadJoinedGate(index, f);
    DAMASK_ASSIGN_OR_RETURN(f->gate, Matrix(name("ffn_gate", "weight"), ffn, c.width));
    DAMASK_ASSIGN_OR_RETURN(f->up, Matrix(name("ffn_up", "weight"), ffn, c.width));
    DAMASK_ASSIGN_OR_RETURN(f->gate_bias, Bias(name("ffn_gate", "bias"), ffn));
    DAMASK_ASSIGN_OR_RETURN(f->up_bias, Bias(name("ffn_up", "bias"), ffn));
    DAMASK_ASSIGN_OR_RETURN(f->down_bias, Bias(name("ffn_down", "bias"), c.width));
    return {};
  }

  Status RefuseUnnamedExperts(size_t index) {
    for (const char* part : {"ffn_down_exps.weight", "ffn_down.0.weight"}) {
      const std::string of_experts = LayerName(index, part);
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(of_experts));
      if (tensor == nullptr) continue;
      return BadFormat(fmt::format("the tensor {} is of experts, but the configuration says that there are none",
                                   source_.FileName(of_experts)));
    }
    return {};
  }

  // Phi-3 and GLM-4 keep gate and up in one matrix.
  Status LoadJoinedGate(size_t index, FeedForwardWeights* f) {
    const ModelConfig& c = model_->config_;
    // GGUF has no name of its own for that.
    const std::string joined = LayerName(index, "ffn_gate_up.weight");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* own_name, Find(joined));
    DAMASK_ASSIGN_OR_RETURN(const WeightView both,
                            Matrix(own_name != nullptr ? joined : LayerName(index, "ffn_up.weight"), 2 * c.ffn, c.width));
    f->gate = Rows(both, 0, c.ffn);
    f->up = Rows(both, c.ffn, c.ffn);
    return {};
  }

  Status LoadExperts(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(w->router, Matrix(LayerName(index, "ffn_gate_inp.weight"), c.experts, c.width));
    DAMASK_RETURN_IF_ERROR(LoadExpertMatrices(index, "ffn_gate", c.ffn, c.width, &FeedForwardWeights::gate, w));
    DAMASK_RETURN_IF_ERROR(LoadExpertMatrices(index, "ffn_up", c.ffn, c.width, &FeedForwardWeights::up, w));
    DAMASK_RETURN_IF_ERROR(LoadExpertMatrices(index, "ffn_down", c.width, c.ffn, &FeedForwardWeights::down, w));
    DAMASK_ASSIGN_OR_RETURN(w->router_bias, Bias(LayerName(index, "ffn_gate_inp.bias"), c.experts));
    DAMASK_RETURN_IF_ERROR(LoadChoiceBias(index, w));
    DAMASK_RETURN_IF_ERROR(LoadExpertBiases(index, "ffn_gate_exps.bias", c.ffn, &FeedForwardWeights::gate_bias, w));
    DAMASK_RETURN_IF_ERROR(LoadExpertBiases(index, "ffn_up_exps.bias", c.ffn, &FeedForwardWeights::up_bias, w));
    return LoadExpertBiases(index, "ffn_down_exps.bias", c.width, &FeedForwardWeights::down_bias, w);
  }

  // Without them such a model would answer, wrongly.
  bool HasAllBiases() const { return model_->config_.traits().has_all_biases; }

  // GLM-4.5 cannot do without it.
  Status LoadChoiceBias(size_t index, LayerWeights* w) {
    const std::string name = LayerName(index, "exp_probs_b.bias");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* bias, Find(name));
    if (bias == nullptr && model_->config_.gating != Gating::kSigmoid) return {};
    DAMASK_ASSIGN_OR_RETURN(w->choice_bias, Vector(name, model_->config_.experts));
    return {};
  }

  // One tensor for all experts, wherever a file has it.
  Status LoadExpertBiases(size_t index, const char* part, size_t size, FloatVector FeedForwardWeights::*place,
                          LayerWeights* w) {
    const std::string name = LayerName(index, part);
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* all, Find(name));
    if (all == nullptr && !HasAllBiases()) return {};
    DAMASK_ASSIGN_OR_RETURN(const WeightView biases, Matrix(name, w->feed_forward.size(), size));
    for (size_t e = 0; e < w->feed_forward.size(); ++e) {
      FloatVector& bias = w->feed_forward[e].*place;
      bias = FloatVector(size);
      kernels::DequantizeRow(biases.type, Rows(biases, e, 1).data, size, bias.data());
    }
    return {};
  }

  // One tensor for all experts, "blk.3.ffn_up_exps.weight"; in Hugging Face folders and old files of Mixtral one for each,
  // "blk.3.ffn_up.7.weight".
  Status LoadExpertMatrices(size_t index, const char* part, size_t rows, size_t columns, WeightView FeedForwardWeights::*place,
                            LayerWeights* w) {
    const size_t experts = model_->config_.experts;
    const std::string together = fmt::format("blk.{}.{}_exps.weight", index, part);
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* all, Find(together));
    if (all == nullptr) {
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* first, Find(fmt::format("blk.{}.{}.0.weight", index, part)));
      if (first == nullptr && !source_.FileName(together).empty()) return Required(together).status();
      for (size_t e = 0; e < experts; ++e) {
        DAMASK_ASSIGN_OR_RETURN(w->feed_forward[e].*place,
                                Matrix(fmt::format("blk.{}.{}.{}.weight", index, part, e), rows, columns));
      }
      return {};
    }
    DAMASK_RETURN_IF_ERROR(Required(together).status());
    const std::vector<uint64_t> expected = {experts, rows, columns};
    if (all->shape != expected) return WrongShape(together, *all, expected);
    const WeightView stacked{all->type, all->data, experts * rows, columns};
    for (size_t e = 0; e < experts; ++e) w->feed_forward[e].*place = Rows(stacked, e * rows, rows);
    return {};
  }

  static WeightView Rows(const WeightView& matrix, size_t first, size_t count) {
    return {matrix.type, matrix.data + first * formats::RowBytes(matrix.type, matrix.k), count, matrix.k};
  }

  Status LoadLayer(size_t index) {
    const ModelConfig& c = model_->config_;
    LayerWeights& w = model_->layers_[index];
    const auto name = [index](const char* part) { return LayerName(index, part); };
    DAMASK_RETURN_IF_ERROR(LoadLayerNorms(index, &w));
    DAMASK_RETURN_IF_ERROR(LoadProjections(index, &w));
    DAMASK_ASSIGN_OR_RETURN(w.o, Matrix(name("attn_output.weight"), c.width, c.q_width()));
    // Biases are read wherever a file has them (llama files may, too); qwen2 always does.
    DAMASK_ASSIGN_OR_RETURN(w.q_bias, Bias(name("attn_q.bias"), c.q_width()));
    DAMASK_ASSIGN_OR_RETURN(w.k_bias, Bias(name("attn_k.bias"), c.kv_width()));
    DAMASK_ASSIGN_OR_RETURN(w.v_bias, Bias(name("attn_v.bias"), c.kv_width()));
    DAMASK_ASSIGN_OR_RETURN(w.o_bias, Bias(name("attn_output.bias"), c.width));
    if (c.has_sinks()) {
      DAMASK_ASSIGN_OR_RETURN(w.sinks, Sinks(name("attn_sinks.weight")));
    }
    DAMASK_RETURN_IF_ERROR(LoadQkNorms(index, &w));
    DAMASK_RETURN_IF_ERROR(LoadFeedForward(index, &w));
    return RefuseJoinedBiases(index);
  }

  Status LoadLayerNorms(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    if (c.has_norms_before()) {
      DAMASK_ASSIGN_OR_RETURN(w->attention_norm, Norm(LayerName(index, "attn_norm.weight"), c.width));
      DAMASK_ASSIGN_OR_RETURN(w->ffn_norm, Norm(LayerName(index, c.traits().ffn_norm), c.width));
    }
    if (c.has_norms_behind()) {
      DAMASK_ASSIGN_OR_RETURN(w->attention_post_norm, Norm(LayerName(index, "post_attention_norm.weight"), c.width));
      DAMASK_ASSIGN_OR_RETURN(w->ffn_post_norm, Norm(LayerName(index, "post_ffw_norm.weight"), c.width));
    }
    return {};
  }

  Status LoadQkNorms(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    const QkNorm kind = c.traits().qk_norm;
    if (kind == QkNorm::kNone) return {};
    const std::string q = LayerName(index, "attn_q_norm.weight");
    if (kind == QkNorm::kHeadsIfThere) {
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(q));
      if (tensor == nullptr) return {};
    }
    const bool whole = kind == QkNorm::kWhole;
    DAMASK_ASSIGN_OR_RETURN(w->q_norm, Norm(q, whole ? c.q_width() : c.head_dim));
    DAMASK_ASSIGN_OR_RETURN(w->k_norm, Norm(LayerName(index, "attn_k_norm.weight"), whole ? c.kv_width() : c.head_dim));
    return {};
  }

  // phi3 has none of them; nobody knows of a model that has.
  Status RefuseJoinedBiases(size_t index) {
    std::vector<const char*> parts = {"attn_qkv.bias"};
    if (model_->config_.traits().joins_gate)
      parts.insert(parts.end(), {"ffn_gate_up.bias", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"});
    for (const char* part : parts) {
      const std::string name = LayerName(index, part);
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* bias, Find(name));
      if (bias != nullptr) return Unsupported(fmt::format("the tensor {} is not supported", source_.FileName(name)));
    }
    return {};
  }

  // Divisors of the frequencies that come as a tensor; empty where there is none.
  Result<std::vector<float>> RopeFactors(const std::string& name) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
    if (tensor == nullptr) return std::vector<float>();
    DAMASK_ASSIGN_OR_RETURN(const FloatVector factors, Vector(name, model_->config_.rope.dims / 2));
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
    if (factors.empty()) factors = rope.factors();
    model_->rope_ = RopeTable(rope, factors);
    if (model_->config_.window_rope_base != 0.0) {
      const RopeConfig unscaled = {.kind = rope.kind, .dims = rope.dims, .base = model_->config_.window_rope_base};
      model_->window_rope_ = RopeTable(unscaled, {});
    }
    return {};
  }

  // As TensorSource has it; remembers what was asked for.
  Result<const TensorInfo*> Find(const std::string& name) {
    Result<const TensorInfo*> tensor = source_.Find(name);
    if (tensor.ok()) asked_.insert(*tensor);
    return tensor;
  }

  Result<const TensorInfo*> Required(const std::string& name) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
    if (tensor == nullptr) return BadFormat(fmt::format("the tensor {} is missing", source_.FileName(name)));
    if (!formats::GetTensorType(tensor->type).runnable) {
      return Unsupported(fmt::format("the tensor {} has type {}, which damask cannot run", source_.FileName(name),
                                     formats::GetTensorType(tensor->type).name));
    }
    return tensor;
  }

  Status WrongShape(const std::string& name, const TensorInfo& tensor, const std::vector<uint64_t>& expected) const {
    return BadFormat(fmt::format("the tensor {} has shape [{}], expected [{}]", source_.FileName(name),
                                 fmt::join(tensor.shape, ", "), fmt::join(expected, ", ")));
  }

  Result<WeightView> Matrix(const std::string& name, size_t rows, size_t columns) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Required(name));
    const std::vector<uint64_t> expected = {rows, columns};
    if (tensor->shape != expected) return WrongShape(name, *tensor, expected);
    return WeightView{tensor->type, tensor->data, rows, columns};
  }

  Result<FloatVector> Vector(const std::string& name, size_t size) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Required(name));
    const std::vector<uint64_t> expected = {size};
    if (tensor->shape != expected) return WrongShape(name, *tensor, expected);
    FloatVector values(size);
    kernels::DequantizeRow(tensor->type, tensor->data, size, values.data());
    return values;
  }

  Result<FloatVector> Norm(const std::string& name, size_t size) {
    DAMASK_ASSIGN_OR_RETURN(FloatVector weight, Vector(name, size));
    if (model_->config_.norms_less_one) {
      for (size_t i = 0; i < size; ++i) weight[i] += 1.0f;
    }
    return weight;
  }

  // An infinite one would take all of its head's attention, silently.
  Result<FloatVector> Sinks(const std::string& name) {
    DAMASK_ASSIGN_OR_RETURN(FloatVector sinks, Vector(name, model_->config_.heads));
    for (size_t head = 0; head < sinks.size(); ++head) {
      if (std::isfinite(sinks[head])) continue;
      return BadFormat(fmt::format("the sink of head {} is {}, expected a finite number", head, sinks[head])).At(name);
    }
    return sinks;
  }

  Result<FloatVector> Bias(const std::string& name, size_t size) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
    if (tensor == nullptr && !HasAllBiases()) return FloatVector();
    return Vector(name, size);
  }

  void Summarise() {
    for (const TensorInfo& tensor : source_.tensors()) {
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
    for (const TensorInfo& tensor : source_.tensors()) {
      if (asked_.contains(&tensor) || tensor.name.ends_with("rotary_emb.inv_freq")) continue;
      if (IsOfImages(tensor.name) || GuessesAhead(tensor.name)) continue;
      if (++count == 1) first = tensor.name;
    }
    if (count == 0) return;
    const std::string more = count == 1 ? "is a tensor" : fmt::format("and {} more are tensors", count - 1);
    LogWarning(fmt::format("{}: {} {} that damask does not use: answers may be worse than the model's", Quote(path_, 300),
                           Quote(first), more));
  }

  const TensorSource& source_;
  std::string path_;
  Model* model_;
  std::unordered_set<const TensorInfo*> asked_;
};

Status ModelLoader::Load(const TensorSource& source, const std::string& path, Model* model) {
  return Loading(source, path, model).Run();
}

}  // namespace damask::model
