#include "model/feed_forward_loader.h"

#include <fmt/format.h>

#include "kernels/quant.h"

namespace damask::model {
namespace {

using formats::TensorInfo;
using kernels::WeightView;

// Phi-3 and GLM-4 keep gate and up in one matrix.
Status LoadJoinedGate(TensorReader* reader, size_t index, size_t ffn, FeedForwardWeights* f) {
  // GGUF has no name of its own for that.
  const std::string joined = LayerName(index, "ffn_gate_up.weight");
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* own_name, reader->Find(joined));
  DAMASK_ASSIGN_OR_RETURN(
      const WeightView both,
      reader->Matrix(own_name != nullptr ? joined : LayerName(index, "ffn_up.weight"), 2 * ffn, reader->config().width));
  f->gate = Rows(both, 0, ffn);
  f->up = Rows(both, ffn, ffn);
  return {};
}

// `kind` stands behind the names of its matrices.
Status LoadNetwork(TensorReader* reader, size_t index, const char* kind, size_t ffn, FeedForwardWeights* f) {
  const ModelConfig& c = reader->config();
  const auto name = [&](const char* part, const char* what) { return fmt::format("blk.{}.{}{}.{}", index, part, kind, what); };
  DAMASK_ASSIGN_OR_RETURN(f->down, reader->Matrix(name("ffn_down", "weight"), c.width, ffn));
  if (c.traits().joins_gate) return LoadJoinedGate(reader, index, ffn, f);
  DAMASK_ASSIGN_OR_RETURN(f->gate, reader->Matrix(name("ffn_gate", "weight"), ffn, c.width));
  DAMASK_ASSIGN_OR_RETURN(f->up, reader->Matrix(name("ffn_up", "weight"), ffn, c.width));
  DAMASK_ASSIGN_OR_RETURN(f->gate_bias, reader->Bias(name("ffn_gate", "bias"), ffn));
  DAMASK_ASSIGN_OR_RETURN(f->up_bias, reader->Bias(name("ffn_up", "bias"), ffn));
  DAMASK_ASSIGN_OR_RETURN(f->down_bias, reader->Bias(name("ffn_down", "bias"), c.width));
  return {};
}

Status RefuseUnnamedExperts(TensorReader* reader, size_t index) {
  for (const char* part : {"ffn_down_exps.weight", "ffn_down.0.weight"}) {
    const std::string of_experts = LayerName(index, part);
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader->Find(of_experts));
    if (tensor == nullptr) continue;
    return BadFormat(fmt::format("the tensor {} is of experts, but the configuration says that there are none",
                                 reader->FileName(of_experts)));
  }
  return {};
}

// One tensor for all experts, wherever a file has it.
Status LoadExpertBiases(TensorReader* reader, size_t index, const char* part, size_t size,
                        FloatVector FeedForwardWeights::*place, LayerWeights* w) {
  const std::string name = LayerName(index, part);
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* all, reader->Find(name));
  if (all == nullptr && !reader->config().traits().has_all_biases) return {};
  DAMASK_ASSIGN_OR_RETURN(const WeightView biases, reader->Matrix(name, w->feed_forward.size(), size));
  for (size_t e = 0; e < w->feed_forward.size(); ++e) {
    FloatVector& bias = w->feed_forward[e].*place;
    bias = FloatVector(size);
    kernels::DequantizeRow(biases.type, Rows(biases, e, 1).data, size, bias.data());
  }
  return {};
}

// A tensor of all experts as one matrix: their rows, one behind the other.
Result<WeightView> Stacked(TensorReader* reader, const std::string& name, size_t rows, size_t columns) {
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* all, reader->Required(name));
  const size_t experts = reader->config().experts;
  const std::vector<uint64_t> expected = {experts, rows, columns};
  if (all->shape != expected) return reader->WrongShape(name, *all, expected);
  return WeightView{all->type, all->data, experts * rows, columns};
}

// One tensor for all experts, "blk.3.ffn_up_exps.weight"; in Hugging Face folders and old files of Mixtral one for each,
// "blk.3.ffn_up.7.weight".
Status LoadExpertMatrices(TensorReader* reader, size_t index, const char* part, size_t rows, size_t columns,
                          WeightView FeedForwardWeights::*place, LayerWeights* w) {
  const size_t experts = reader->config().experts;
  const std::string together = fmt::format("blk.{}.{}_exps.weight", index, part);
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* all, reader->Find(together));
  if (all == nullptr) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* first, reader->Find(fmt::format("blk.{}.{}.0.weight", index, part)));
    if (first == nullptr && !reader->FileName(together).empty()) return reader->Required(together).status();
    for (size_t e = 0; e < experts; ++e) {
      DAMASK_ASSIGN_OR_RETURN(w->feed_forward[e].*place,
                              reader->Matrix(fmt::format("blk.{}.{}.{}.weight", index, part, e), rows, columns));
    }
    return {};
  }
  DAMASK_ASSIGN_OR_RETURN(const WeightView stacked, Stacked(reader, together, rows, columns));
  for (size_t e = 0; e < experts; ++e) w->feed_forward[e].*place = Rows(stacked, e * rows, rows);
  return {};
}

// Some converters put gate and up of each expert into one matrix, one behind the other.
Status LoadExpertGates(TensorReader* reader, size_t index, LayerWeights* w) {
  const ModelConfig& c = reader->config();
  const std::string joined = LayerName(index, "ffn_gate_up_exps.weight");
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* both, reader->Find(joined));
  if (both == nullptr) {
    DAMASK_RETURN_IF_ERROR(LoadExpertMatrices(reader, index, "ffn_gate", c.ffn, c.width, &FeedForwardWeights::gate, w));
    return LoadExpertMatrices(reader, index, "ffn_up", c.ffn, c.width, &FeedForwardWeights::up, w);
  }
  DAMASK_ASSIGN_OR_RETURN(const WeightView stacked, Stacked(reader, joined, 2 * c.ffn, c.width));
  for (size_t e = 0; e < c.experts; ++e) {
    w->feed_forward[e].gate = Rows(stacked, 2 * e * c.ffn, c.ffn);
    w->feed_forward[e].up = Rows(stacked, (2 * e + 1) * c.ffn, c.ffn);
  }
  return {};
}

// GLM-4.5 cannot do without it.
Status LoadChoiceBias(TensorReader* reader, size_t index, LayerWeights* w) {
  const std::string name = LayerName(index, "exp_probs_b.bias");
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* bias, reader->Find(name));
  if (bias == nullptr && reader->config().gating != Gating::kSigmoid) return {};
  DAMASK_ASSIGN_OR_RETURN(w->choice_bias, reader->Vector(name, reader->config().experts));
  return reader->CheckFinite(name, w->choice_bias);
}

Status LoadExperts(TensorReader* reader, size_t index, LayerWeights* w) {
  const ModelConfig& c = reader->config();
  DAMASK_ASSIGN_OR_RETURN(w->router, reader->Matrix(LayerName(index, "ffn_gate_inp.weight"), c.experts, c.width));
  DAMASK_RETURN_IF_ERROR(LoadExpertGates(reader, index, w));
  DAMASK_RETURN_IF_ERROR(LoadExpertMatrices(reader, index, "ffn_down", c.width, c.ffn, &FeedForwardWeights::down, w));
  DAMASK_ASSIGN_OR_RETURN(w->router_bias, reader->Bias(LayerName(index, "ffn_gate_inp.bias"), c.experts));
  DAMASK_RETURN_IF_ERROR(LoadChoiceBias(reader, index, w));
  DAMASK_RETURN_IF_ERROR(LoadExpertBiases(reader, index, "ffn_gate_exps.bias", c.ffn, &FeedForwardWeights::gate_bias, w));
  DAMASK_RETURN_IF_ERROR(LoadExpertBiases(reader, index, "ffn_up_exps.bias", c.ffn, &FeedForwardWeights::up_bias, w));
  return LoadExpertBiases(reader, index, "ffn_down_exps.bias", c.width, &FeedForwardWeights::down_bias, w);
}

}  // namespace

Status LoadFeedForward(TensorReader* reader, size_t index, LayerWeights* w) {
  const ModelConfig& c = reader->config();
  if (c.has_experts(index)) {
    w->feed_forward.resize(c.experts);
    DAMASK_RETURN_IF_ERROR(LoadExperts(reader, index, w));
    return c.shared_ffn == 0 ? Status() : LoadNetwork(reader, index, "_shexp", c.shared_ffn, &w->shared);
  }
  w->feed_forward.resize(1);
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* down, reader->Find(LayerName(index, "ffn_down.weight")));
  if (down == nullptr && c.experts == 0) DAMASK_RETURN_IF_ERROR(RefuseUnnamedExperts(reader, index));
  return LoadNetwork(reader, index, "", c.dense_width(), &w->feed_forward[0]);
}

}  // namespace damask::model
